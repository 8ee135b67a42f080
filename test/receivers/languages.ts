import { type SpawnSyncOptions, spawn, spawnSync } from 'node:child_process'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { codeBlock } from './document.ts'

export type Language = {
  name: string
  /** What tells its version: the first number in the output. */
  version: [string, ...string[]]
  /** Files that hold code of webhook.md, by the tag of their block. */
  files: Record<string, string>
  /** Files of `harness/`. */
  harness: string[]
  /** Files that belong to a project of this language and say nothing. */
  plain?: Record<string, string>
  build?: [string, ...string[]][]
  run: [string, ...string[]]
  /** The complete receiver of webhook.md. */
  receiver?: [string, ...string[]]
}

export const LANGUAGES: Language[] = [
  {
    name: 'Node.js',
    version: [process.execPath, '--version'],
    files: { 'verify.mjs': 'js verify', 'receiver.mjs': 'js receiver' },
    harness: ['main.mjs'],
    run: [process.execPath, 'main.mjs'],
    receiver: [process.execPath, 'receiver.mjs'],
  },
  {
    name: 'Python',
    version: ['python3', '--version'],
    files: { 'verify.py': 'python verify', 'receiver.py': 'python receiver' },
    harness: ['main.py'],
    run: ['python3', '-W', 'error', 'main.py'],
    receiver: ['python3', '-W', 'error', 'receiver.py'],
  },
  {
    name: 'Go',
    version: ['go', 'version'],
    files: { 'verify.go': 'go verify', 'receiver.go': 'go receiver' },
    harness: ['main.go'],
    plain: { 'go.mod': 'module receivers\n\ngo 1.22\n' },
    build: [
      ['go', 'vet', 'verify.go', 'receiver.go'],
      ['go', 'build', '-o', 'main', 'verify.go', 'main.go'],
      ['go', 'build', '-o', 'receiver', 'verify.go', 'receiver.go'],
    ],
    run: ['./main'],
    receiver: ['./receiver'],
  },
  {
    name: 'PHP',
    version: ['php', '--version'],
    files: { 'verify.php': 'php verify' },
    harness: ['main.php'],
    run: ['php', '-d', 'error_reporting=-1', 'main.php'],
  },
  {
    name: 'Ruby',
    version: ['ruby', '--version'],
    files: { 'verify.rb': 'ruby verify' },
    harness: ['main.rb'],
    run: ['ruby', '-w', 'main.rb'],
  },
  {
    name: 'Java',
    version: ['javac', '--version'],
    files: { 'Webhooks.java': 'java verify' },
    harness: ['Main.java'],
    build: [['javac', '-Xlint:all', '-Werror', '--release', '11', 'Webhooks.java', 'Main.java']],
    run: ['java', '-cp', '.', 'Main'],
  },
  {
    name: 'C# with Mono',
    version: ['mcs', '--version'],
    files: { 'Webhooks.cs': 'csharp verify' },
    harness: ['Main.cs'],
    build: [['mcs', '-warnaserror', '-out:main.exe', 'Webhooks.cs', 'Main.cs']],
    run: ['mono', 'main.exe'],
  },
  {
    name: 'Rust',
    version: ['cargo', '--version'],
    files: { 'verify.rs': 'rust verify' },
    harness: ['main.rs', 'Cargo.lock'],
    plain: {
      'Cargo.toml': `[package]\nname = "receivers"\nversion = "0.0.0"\nedition = "2024"\n\n[[bin]]\nname = "main"\npath = "main.rs"\n\n${codeBlock('toml verify')}`,
    },
    build: [['cargo', 'build', '--locked', '--quiet']],
    run: ['target/debug/main'],
  },
]

/** The version that is installed here, or null. */
export function versionOf({ version: [command, ...args] }: Language): string | null {
  const options: SpawnSyncOptions = { encoding: 'utf8', timeout: 20_000 }
  const { status, stdout } = spawnSync(command, args, options)
  return status === 0 ? (/\d+(\.\d+)+/.exec(String(stdout))?.[0] ?? null) : null
}

const MINUTE = 60_000

/** Puts the code of webhook.md and its harness into a directory, and builds it there. */
export async function build(
  { files, harness, plain = {}, build = [] }: Language,
  directory: string,
  document?: string,
) {
  for (const [name, tag] of Object.entries(files)) await writeFile(join(directory, name), codeBlock(tag, document))
  for (const [name, text] of Object.entries(plain)) await writeFile(join(directory, name), text)
  for (const name of harness) {
    await copyFile(fileURLToPath(new URL(`harness/${name}`, import.meta.url)), join(directory, name))
  }
  for (const command of build) await run(command, directory, '', 4 * MINUTE)
}

/** What `verify` makes of each case: the first words of the harness's lines. */
export async function judge({ run: command }: Language, directory: string, cases: string): Promise<string[]> {
  return (await run(command, directory, cases, MINUTE)).trimEnd().split('\n')
}

/** The environment of a compiler: its output stays in its directory, and it fetches no other version of itself. */
export function environmentOf(directory: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    CARGO_TARGET_DIR: join(directory, 'target'),
    GOTOOLCHAIN: 'local',
    PYTHONDONTWRITEBYTECODE: '1',
  }
}

/** Runs a command to its end; resolves with what it printed, rejects with what it complained of. */
export function run([command, ...args]: [string, ...string[]], directory: string, input: string, capMs: number) {
  return new Promise<string>((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: directory,
      env: environmentOf(directory),
      timeout: capMs,
      killSignal: 'SIGKILL',
    })
    const output: Buffer[] = []
    let complaint = ''
    child.stdout.on('data', (chunk) => output.push(chunk))
    child.stderr.on('data', (chunk) => {
      complaint += chunk
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve(Buffer.concat(output).toString())
      else reject(new Error(`${command} ${args.join(' ')} ended with ${code ?? signal}:\n${complaint}`))
    })
    // One that ends before it has read all its input says why in its exit code.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}

/** Outside of the repository, gone when the test has finished. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'postrider-receivers-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}
