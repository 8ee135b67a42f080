import type { Config } from '../config.ts'
import type { Log } from '../log.ts'
import { type Address, openClient } from './client.ts'
import { startEmbeddedPostgres } from './embedded.ts'
import { keepRunning } from './keep-running.ts'
import { explainFault } from './preflight.ts'
import { announcePresence, EVERYBODY_IS_BACK_MS, type Presence } from './presence.ts'

/** Another Postrider already works on this data directory. */
export class DataDirectoryInUse extends Error {
  readonly code = 'DATA_DIRECTORY_IN_USE'

  constructor(dataDir: string) {
    super(
      `Another Postrider is running on ${dataDir}. Stop it first, or give this one its own POSTRIDER_DATA_DIR. Several processes share one database through DATABASE_URL.`,
    )
    this.name = 'DataDirectoryInUse'
  }
}

// A server that was left behind may take a moment to notice that the process before us is gone.
const PREDECESSOR_PATIENCE_MS = 3000

export type ReachContext = {
  config: Pick<Config, 'databaseUrl' | 'dataDir'>
  log: Log
  /** Where the programs of the embedded server are, in place of its own. */
  binDir?: string | undefined
  onEnd(end: (deadline: Date) => unknown): void
}

/** The database that is configured, or the embedded one, started or adopted; with the only Postrider on it, if it is embedded. */
export async function reachPostgres(context: ReachContext): Promise<{ address: Address; alone: boolean }> {
  const { config, log, binDir, onEnd } = context
  if (config.databaseUrl !== null)
    return {
      address: config.databaseUrl,
      alone: await announce(context, config.databaseUrl, { settledMs: EVERYBODY_IS_BACK_MS }),
    }
  const start = (mayCreate: boolean) =>
    startEmbeddedPostgres({ dataDir: config.dataDir, log, mayCreate, ...(binDir === undefined ? {} : { binDir }) })
  const server = await start(true)
  const { address, adopted } = server
  // An adopted server may be another living Postrider's: then it is not ours to stop.
  let ours: { stop(): Promise<void> } | null = adopted ? null : server
  onEnd(() => ours?.stop())
  const alone = await announce(context, address, { patienceMs: adopted ? PREDECESSOR_PATIENCE_MS : 0 })
  ours = alone ? keepRunning({ server, start: () => start(false), log }) : null
  if (!alone) throw new DataDirectoryInUse(config.dataDir)
  return { address, alone }
}

async function announce(
  { log, onEnd }: ReachContext,
  address: Address,
  patience: { patienceMs?: number; settledMs?: number },
): Promise<boolean> {
  let presence: Presence | null = null
  const sql = await openClient(address, { max: 1, name: 'presence', log, onClose: () => void presence?.comeBack() })
  onEnd(() => sql.end({ timeout: 1 }))
  const announced = await announcePresence(sql, patience).catch((error: unknown) => {
    throw explainFault(error)
  })
  presence = announced
  onEnd(announced.end)
  return announced.alone
}
