import { networkInterfaces } from 'node:os'
import { judgeAddress, parseNetworks, sameAddress } from './address-rules.ts'

/** Where this process takes requests. */
export type OwnAddress = { address: string; port: number }

const ANY = ['0.0.0.0', '::']
const LOOPBACK = parseNetworks('127.0.0.0/8 ::1')

/** Whether a socket to this address would come back to us: an event delivered there could publish the next one, for ever. */
export function isOwnAddress(address: string, port: number, own: OwnAddress | null): boolean {
  if (own === null || port !== own.port) return false
  // The kernel takes a connection to "any address" for one to this machine.
  if (sameAddress(address, own.address) || isAny(address)) return true
  return isAny(own.address) && isOfThisMachine(address)
}

const isAny = (address: string) => ANY.some((any) => sameAddress(any, address))

function isOfThisMachine(address: string): boolean {
  // Asked each time: interfaces come and go. Only for connections to our own port.
  const interfaces = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  return isLoopback(address) || interfaces.some((each) => sameAddress(each.address.replace(/%.*/, ''), address))
}

function isLoopback(address: string): boolean {
  return judgeAddress(address, LOOPBACK).allowed && !judgeAddress(address, []).allowed
}
