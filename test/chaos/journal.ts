import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a process wrote down line by line. Whoever was killed may have left half a line. */
export function readJournal<T>(file: string): T[] {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
  return lines.map((line) => JSON.parse(line) as T)
}

/** The journals of all processes there were, as one. */
export function readJournals<T extends { at: number }>(directory: string, kind: 'receipts' | 'claims'): T[] {
  const files = readdirSync(directory).filter((name) => name.endsWith(`.${kind}.jsonl`))
  return files.flatMap((name) => readJournal<T>(join(directory, name))).sort((a, b) => a.at - b.at)
}
