// Reads cases line by line, as ../cases.ts writes them, and says of each what `verify` made of it.
import { readFileSync } from 'node:fs'
import { Refused, verify } from './verify.mjs'

const bytes = (base64) => Buffer.from(base64, 'base64')

for (const line of readFileSync(0, 'utf8').split('\n').slice(0, -1)) {
  const [now, secrets, headers, body] = line.split('\t')
  const named = headers.split(',').map((header) => header.split(':'))
  try {
    verify(
      secrets.split(',').map((secret) => bytes(secret).toString()),
      // As node:http has them.
      Object.fromEntries(named.map(([name, value]) => [name.toLowerCase(), bytes(value).toString('latin1')])),
      bytes(body),
      Number(now),
    )
    console.log('accepted')
  } catch (error) {
    console.log(error instanceof Refused ? 'refused' : `error ${error}`)
  }
}
