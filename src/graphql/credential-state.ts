import type { CredentialState } from '../../schema/states.ts'
import { builder } from './builder.ts'

export const CredentialStateEnum = builder.enumType('CredentialState', {
  description: 'Whether a credential opens anything.',
  values: {
    ACTIVE: { description: 'It does.' },
    EXPIRED: { description: 'Its time is over.' },
    REVOKED: {
      description: 'It was revoked, or its tenant deleted, or for a portal session the key that made it revoked.',
    },
  } satisfies Record<CredentialState, object>,
})
