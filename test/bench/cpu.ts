import { readdirSync, readFileSync } from 'node:fs'

// Linux: utime and stime are in clock ticks of 10 ms (proc_pid_stat(5), fields 14 and 15; field 4 is the parent).
const TICK_MS = 10

function stat(pid: string): { parent: number; cpuMs: number } | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return { parent: Number(fields[1]), cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS }
  } catch {
    return null
  }
}

/** CPU time in ms that a process and its living children have used so far. */
export function cpuOf(pid: number): number {
  const own = stat(String(pid))?.cpuMs ?? 0
  const children = readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [stat(name)] : []))
  return own + children.reduce((sum, child) => sum + (child?.parent === pid ? child.cpuMs : 0), 0)
}
