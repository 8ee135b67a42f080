import { type Id, type Prefix, parsePublicId } from '../../../schema/ids.ts'
import { notAnId } from '../../given-id.ts'
import { Mistake } from '../../mistake.ts'

/** The id behind a text; of one that is malformed filters say the same. */
export function known<P extends Prefix>(prefix: P, text: string): Id<P> {
  const id = parsePublicId(prefix, text)
  if (id !== null) return id
  throw new Mistake('INVALID_INPUT', ['id'], notAnId(prefix, text))
}
