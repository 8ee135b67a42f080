import { parentPort } from 'node:worker_threads'
import { authority } from './certificates.ts'
import { type Comes, type Misbehaviour, misbehave } from './misbehaviours.ts'
import { BODIES } from './misbehaviours-body.ts'
import { CONNECTIONS } from './misbehaviours-connection.ts'
import { HEADS } from './misbehaviours-head.ts'
import { TLS_FAULTS } from './misbehaviours-tls.ts'

/** Serves all misbehaviours in a thread of its own, so that their floods cost the side under test only what it reads. */

export type Served = { name: string; url: string; comes: Comes; withinMs: number }
export type Started = { authority: string; served: Served[] }
/** The answer to any message: of which of them connections are open, one name for each. */
export type Open = { open: string[] }

const serve = async (misbehaviours: readonly Misbehaviour[], scheme: 'http' | 'https') =>
  Promise.all(misbehaviours.map(async (each) => ({ each, receiver: await misbehave(each, scheme) })))

const all = [...(await serve([...CONNECTIONS, ...HEADS, ...BODIES], 'http')), ...(await serve(TLS_FAULTS, 'https'))]
const served = all.map(({ each: [name, , comes, withinMs], receiver: { url } }) => ({ name, url, comes, withinMs }))

parentPort?.on('message', () => {
  const open = all.flatMap(({ each: [name], receiver: { sockets } }) =>
    sockets.filter((socket) => !socket.destroyed).map(() => name),
  )
  parentPort?.postMessage({ open } satisfies Open)
})
parentPort?.postMessage({ authority, served } satisfies Started)
