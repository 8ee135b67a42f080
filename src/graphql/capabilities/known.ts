import type { Id, Prefix } from '../../../schema/ids.ts'
import { readId } from '../../input.ts'

/** The id behind a text; of one that is malformed filters say the same. */
export function known<P extends Prefix>(prefix: P, text: string): Id<P> {
  return readId(prefix, text, ['id'])
}
