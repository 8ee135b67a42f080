import type { Socket } from 'node:net'
import { adviceFor, EgressError } from './failures.ts'

/** Waits until a socket is connected, or its handshake is done; a socket that is not in time is destroyed. */
export function established(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal,
  timeoutMs: number | null,
) {
  return new Promise<void>((resolve, reject) => {
    const timer = timeoutMs === null ? null : setTimeout(() => end(timedOut()), Math.max(1, timeoutMs))
    const end = (error: Error | null) => {
      if (timer !== null) clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      socket.off(event, onOpen).off('close', onClose)
      if (error === null) return resolve()
      socket.destroy()
      reject(error)
    }
    const onAbort = () => end(timedOut())
    const onOpen = () => end(null)
    const onClose = () => end(new EgressError('RESET', adviceFor('RESET')))
    // Stays for good: between this and undici's own listeners an error must not become an uncaught exception.
    socket.on('error', end)
    socket.on(event, onOpen).on('close', onClose)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
  })
}

export function timedOut(): EgressError {
  return new EgressError('CONNECT_TIMEOUT', adviceFor('CONNECT_TIMEOUT'))
}
