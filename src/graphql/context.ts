import type { Viewer } from '../tenants/access.ts'
import type { Capabilities } from './capabilities.ts'
import { createLoaders, type Loaders } from './loaders.ts'

/** What resolvers get: who asks, and what there is to be asked for. */
export type Context = Capabilities & { viewer: Viewer; requestId: string; loaders: Loaders }

export function createContext(capabilities: Capabilities, viewer: Viewer, requestId: string): Context {
  return { ...capabilities, viewer, requestId, loaders: createLoaders(capabilities, viewer) }
}
