/** How a loop waits: for a while, or until it is told of news. */
export type Pause = { for(ms: number): Promise<void>; end(): void }

export function createPause(): Pause {
  let end = () => {}
  return {
    for: (ms) =>
      new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms)
        end = () => {
          clearTimeout(timer)
          resolve()
        }
      }),
    end: () => end(),
  }
}
