/** Where a URL points. */
export type Target = { protocol: 'http:' | 'https:'; hostname: string; port: number }

/**
 * Of the parsed URL, never of its text: `http://0x7f.1` and `http://①②⑦.⓪.⓪.①` both have the hostname 127.0.0.1. IPv6
 * addresses come without their brackets. Null for a URL that is neither http nor https.
 */
export function targetOf({ protocol, hostname, port }: URL): Target | null {
  if (protocol !== 'http:' && protocol !== 'https:') return null
  const standardPort = protocol === 'https:' ? 443 : 80
  return { protocol, hostname: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? standardPort : Number(port) }
}
