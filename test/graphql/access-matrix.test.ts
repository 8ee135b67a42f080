import { describe, expect, test } from 'vitest'
import { buildSchema } from '../../src/graphql/schema.ts'
import { type Ask, overHttp, overSse, overWebSocket } from './access-asking.ts'
import {
  documentFor,
  type Entrance,
  entrancesOf,
  nodeTypesOf,
  type Place,
  placesOf,
  variablesFor,
  withValueAt,
} from './access-documents.ts'
import {
  CREDENTIALS,
  type Credential,
  FIELDS,
  isForeign,
  type Kind,
  type Needs,
  NODES,
  type Row,
} from './access-matrix.ts'
import { absent, PREFIXES, startAccessWorld } from './access-world.ts'

/** Every cell of the matrix in access-matrix.ts, by asking the API. */

const schema = buildSchema()
const entrances = entrancesOf(schema).filter(({ name }) => name in FIELDS)
const subscriptions = entrances.filter(({ operation }) => operation === 'subscription')
const others = entrances.filter(({ operation }) => operation !== 'subscription')
const credentials = Object.keys(CREDENTIALS) as Credential[]
const valid = credentials.filter((one) => CREDENTIALS[one] !== null)
const kinds = Object.keys(PREFIXES) as Kind[]
// A thousand requests: on a busy machine they take their time.
const PATIENCE_MS = 120_000

type World = Awaited<ReturnType<typeof startAccessWorld>>

describe('the matrix', () => {
  test('has a row for each field of Query, Mutation and Subscription, and no other', () => {
    expect(
      entrancesOf(schema)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(Object.keys(FIELDS).sort())
  })

  test('has a row for each kind of node, and no other', () => {
    expect(nodeTypesOf(schema).sort()).toEqual(Object.keys(NODES).sort())
  })

  test.each(Object.keys(NODES).filter((name) => NODES[name]?.needs === 'ADMIN'))(
    'has in %s what takes ADMIN wherever it turns up',
    (name) => {
      const options = schema.getType(name)?.extensions.pothosOptions as { authScopes?: object }
      expect(options.authScopes).toEqual({ admin: true })
    },
  )
})

test('without a valid credential nothing is told, whatever is asked for', async () => {
  const world = await startAccessWorld()
  for (const credential of credentials.filter((one) => CREDENTIALS[one] === null)) {
    for (const operation of ['query', 'mutation']) {
      // Once for all of them: who asks is judged before it is looked at what for.
      const answers = others.filter((entrance) => entrance.operation === operation)
      const query = `${operation} { ${answers.map(({ field }) => `${field.name} { __typename }`).join(' ')} }`
      const { outcome, text } = await overHttp(world.url, world.texts[credential], { query, variables: {} })
      expect(outcome, credential).toBe('UNAUTHENTICATED')
      expect(JSON.parse(text), credential).toEqual({ errors: [expect.anything()] })
    }
  }
})

test(
  'queries and mutations let in whom their rows say, and show nobody what is another tenant’s',
  async () => {
    const world = await startAccessWorld()
    expect(await ask(world, others, valid, overHttp)).toEqual(expected(others, valid))
  },
  PATIENCE_MS,
)

test(
  'subscriptions do so, over SSE and over WebSocket',
  async () => {
    const world = await startAccessWorld()
    for (const over of [overSse, overWebSocket]) {
      expect(await ask(world, subscriptions, credentials, over)).toEqual(expected(subscriptions, credentials))
    }
  },
  PATIENCE_MS,
)

test('objects are seen by their ids by whom their rows say', async () => {
  const world = await startAccessWorld()
  const query = 'query ($id: ID!) { answer: node(id: $id) { __typename id } }'
  const cells = Object.entries(NODES).flatMap(([type, row]) =>
    credentials.map((credential) => ({ type, row, credential })),
  )
  const seen = await inParallel(cells, async ({ type, row, credential }) => {
    const id = world.ids[row.id]
    const { outcome, text } = await overHttp(world.url, world.texts[credential], { query, variables: { id } })
    const shown = outcome !== 'allowed' || text === JSON.stringify({ data: { answer: { __typename: type, id } } })
    return [`${type}, ${credential}`, shown ? outcome : text]
  })
  const judged = cells.map(({ type, row, credential }) => [`${type}, ${credential}`, judgeNode(row, credential)])
  expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(judged))
})

test(
  'wherever an id or a tenant is asked for, another tenant’s is answered as one that does not exist, byte for byte',
  async () => {
    const world = await startAccessWorld()
    const rows = entrances.map((entrance) => ({ entrance, row: FIELDS[entrance.name] as Row }))
    const cells = rows.flatMap(({ entrance, row }) =>
      placesOf(entrance).flatMap((place) =>
        credentials
          .filter((one) => isForeign(one) && may(one, row.needs))
          .map((credential) => ({ entrance, row, place, credential })),
      ),
    )
    const differences: string[] = []
    let compared = 0
    await inParallel(cells, async ({ entrance, row, place, credential }) => {
      const tell = async (value: string) => {
        const base = variablesFor(entrance, row, absent(row.id ?? 'endpoint'))
        const question = { query: documentFor(entrance), variables: withValueAt(entrance, base, place, value) }
        const over = entrance.operation === 'subscription' ? overSse : overHttp
        const { outcome, text } = await over(world.url, world.texts[credential], question)
        // What is counted is not what is told: the ids of what was just made.
        return { outcome, text: text.replaceAll(value, '…').replaceAll(/"(cursor|at)\\?":\\?"[^"]+"/g, '') }
      }
      const pairs =
        place.takes === 'tenant'
          ? [['acme', 'nobody']]
          : kindsAt(entrance, row, place).map((kind) => [world.ids[kind], absent(kind)] as const)
      for (const [foreign, none] of pairs) {
        const [one, another] = [await tell(foreign as string), await tell(none as string)]
        compared++
        // Something made up of a question that is wrong in itself would prove nothing.
        const wrong = another.outcome.includes(':') && !another.text.includes(place.path.at(-1) as string)
        if (one.text !== another.text || wrong) {
          differences.push(`${entrance.name} at ${place.path.join('.')}, ${credential}: ${one.text} | ${another.text}`)
        }
      }
    })
    expect(differences).toEqual([])
    expect(compared).toBeGreaterThan(150)
  },
  PATIENCE_MS,
)

test('viewer tells each credential what it may use, as the rows have it', async () => {
  const world = await startAccessWorld()
  for (const credential of valid) {
    const { viewer } = await world.ask<{ viewer: { mayUse: string[] } }>(
      '{ viewer { mayUse } }',
      {},
      world.texts[credential] as string,
    )
    const fields = Object.entries(FIELDS).filter(([, { needs }]) => may(credential, needs))
    expect(viewer.mayUse, credential).toEqual(fields.map(([name]) => name.split('.')[1]).sort())
  }
})

const may = (credential: Credential, needs: Needs) =>
  (CREDENTIALS[credential] as readonly Needs[] | null)?.includes(needs) ?? false

function judge({ needs, id }: Row, credential: Credential): string {
  if (CREDENTIALS[credential] === null) return 'UNAUTHENTICATED'
  if (!may(credential, needs)) return 'FORBIDDEN'
  return id !== undefined && isForeign(credential) ? 'absent' : 'allowed'
}

/** By its id an object may be asked for by whoever may use `node`. */
function judgeNode({ needs, everybodys }: Row & { everybodys?: true }, credential: Credential): string {
  if (everybodys) return judge({ needs }, credential)
  const asking = judge({ needs: (FIELDS['Query.node'] as Row).needs, id: 'endpoint' }, credential)
  return asking === 'allowed' && !may(credential, needs) ? 'absent' : asking
}

function expected(asked: readonly Entrance[], by: readonly Credential[]): Record<string, string> {
  const cells = asked.flatMap(({ name }) =>
    by.map((credential) => [`${name}, ${credential}`, judge(FIELDS[name] as Row, credential)]),
  )
  return Object.fromEntries(cells)
}

/** What comes of every cell of these fields. What a mutation may change is made anew for it. */
async function ask(
  world: World,
  asked: readonly Entrance[],
  by: readonly Credential[],
  over: Ask,
): Promise<Record<string, string>> {
  const cells = asked.flatMap((entrance) => by.map((credential) => ({ entrance, credential })))
  const outcomes = await inParallel(cells, async ({ entrance, credential }) => {
    const row = FIELDS[entrance.name] as Row
    const spent = entrance.operation === 'mutation' && judge(row, credential) === 'allowed'
    const id = row.id && (spent ? await world.make(row.id) : world.ids[row.id])
    const question = { query: documentFor(entrance), variables: variablesFor(entrance, row, id) }
    const { outcome } = await over(world.url, world.texts[credential], question)
    return [`${entrance.name}, ${credential}`, outcome]
  })
  return Object.fromEntries(outcomes)
}

/** The kinds of ids that make sense at a place: what it is called after, what the row says, else every kind. */
function kindsAt({ name }: Entrance, row: Row, { path }: Place): Kind[] {
  const last = String(path.at(-1))
  if (last === 'id' && row.id !== undefined && name !== 'Query.node') return [row.id]
  const called = kinds.filter((kind) => last.startsWith(kind))
  return (called.length > 0 ? called : kinds).filter((kind) => !isEverybodys(kind))
}

const isEverybodys = (kind: Kind) => Object.values(NODES).some(({ id, everybodys }) => id === kind && everybodys)

const AT_ONCE = 8

async function inParallel<Cell, Result>(
  cells: readonly Cell[],
  work: (cell: Cell) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  const left = [...cells.entries()]
  const workers = Array.from({ length: AT_ONCE }, async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) results[next[0]] = await work(next[1])
  })
  await Promise.all(workers)
  return results
}
