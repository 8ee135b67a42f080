/** The one answers are sent to: what of them waits in memory to be read. */
export type Reader = { unreadBytes(): number; cut(): void }

/** What waits in one process to be read by all of its clients together. */
export type Unread = {
  /** Counts a reader until the function that is returned is called. */
  add(reader: Reader): () => void
  /** To be called when something was sent: when it is too much in all, those that leave the most are cut off. */
  sent(reader: Reader): void
}

// So that the many that leave next to nothing are not added up for every message of every one of them.
const WORTH_COUNTING_BYTES = 256 * 1024
const COUNT_EVERY_MS = 1000

/** Bounds what all clients together leave unread: whoever asks from many sockets is within the bounds of each. */
export function createUnread(mostBytes: number): Unread {
  const readers = new Set<Reader>()
  let timer: NodeJS.Timeout | undefined

  const cutLargest = () => {
    const waiting = [...readers].map((reader) => ({ reader, bytes: reader.unreadBytes() }))
    let all = waiting.reduce((sum, { bytes }) => sum + bytes, 0)
    if (all <= mostBytes) return
    waiting.sort((a, b) => b.bytes - a.bytes)
    for (const { reader, bytes } of waiting) {
      if (all <= mostBytes) return
      readers.delete(reader)
      reader.cut()
      all -= bytes
    }
  }
  return {
    add(reader) {
      readers.add(reader)
      timer ??= setInterval(cutLargest, COUNT_EVERY_MS).unref()
      return () => {
        readers.delete(reader)
        if (readers.size > 0) return
        clearInterval(timer)
        timer = undefined
      }
    },
    sent(reader) {
      if (reader.unreadBytes() > Math.min(WORTH_COUNTING_BYTES, mostBytes)) cutLargest()
    },
  }
}
