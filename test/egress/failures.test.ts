import assert from 'node:assert'
import { errors } from 'undici'
import { expect, test } from 'vitest'
import { ATTEMPT_ERROR_CLASSES } from '../../schema/outcomes.ts'
import { adviceFor, classify, EgressError, failureOf } from '../../src/egress/failures.ts'

const coded = (code: string) => Object.assign(new Error('text that must not matter: ECONNREFUSED'), { code })

test.each`
  code                                             | errorClass
  ${'ECONNREFUSED'}                                | ${'CONNECT_REFUSED'}
  ${'EHOSTUNREACH'}                                | ${'UNREACHABLE'}
  ${'ENETUNREACH'}                                 | ${'UNREACHABLE'}
  ${'ECONNRESET'}                                  | ${'RESET'}
  ${'EPIPE'}                                       | ${'RESET'}
  ${'UND_ERR_SOCKET'}                              | ${'RESET'}
  ${'ETIMEDOUT'}                                   | ${'TIMEOUT'}
  ${'CERT_HAS_EXPIRED'}                            | ${'TLS_EXPIRED'}
  ${'CERT_NOT_YET_VALID'}                          | ${'TLS_EXPIRED'}
  ${'CERT_REVOKED'}                                | ${'TLS_UNTRUSTED'}
  ${'DEPTH_ZERO_SELF_SIGNED_CERT'}                 | ${'TLS_UNTRUSTED'}
  ${'SELF_SIGNED_CERT_IN_CHAIN'}                   | ${'TLS_UNTRUSTED'}
  ${'UNABLE_TO_VERIFY_LEAF_SIGNATURE'}             | ${'TLS_UNTRUSTED'}
  ${'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'}           | ${'TLS_UNTRUSTED'}
  ${'ERR_TLS_CERT_ALTNAME_INVALID'}                | ${'TLS_HOSTNAME'}
  ${'EPROTO'}                                      | ${'TLS_PROTOCOL'}
  ${'ERR_SSL_WRONG_VERSION_NUMBER'}                | ${'TLS_PROTOCOL'}
  ${'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'}   | ${'TLS_CLIENT_CERTIFICATE'}
  ${'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE'}       | ${'TLS_CLIENT_CERTIFICATE'}
  ${'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'}              | ${'TLS_CLIENT_CERTIFICATE'}
  ${'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR'}          | ${'TLS_PROTOCOL'}
  ${'ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC'} | ${'TLS_PROTOCOL'}
  ${'ERR_OSSL_EVP_UNSUPPORTED'}                    | ${'TLS_PROTOCOL'}
  ${'ERR_TLS_DH_PARAM_SIZE'}                       | ${'TLS_PROTOCOL'}
  ${'UNSPECIFIED'}                                 | ${'TLS_UNTRUSTED'}
  ${'CERT_CHAIN_TOO_LONG'}                         | ${'TLS_UNTRUSTED'}
  ${'HOSTNAME_MISMATCH'}                           | ${'TLS_HOSTNAME'}
  ${'ERR_STREAM_WRITE_AFTER_END'}                  | ${'RESET'}
  ${'ENOTCONN'}                                    | ${'RESET'}
  ${'UND_ERR_HEADERS_OVERFLOW'}                    | ${'HEADERS_TOO_LARGE'}
  ${'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'}         | ${'PROTOCOL'}
  ${'ERR_ASSERTION'}                               | ${'PROTOCOL'}
  ${'UND_ERR_INVALID_ARG'}                         | ${'INTERNAL'}
  ${'UND_ERR_DESTROYED'}                           | ${'INTERNAL'}
  ${'EMFILE'}                                      | ${'INTERNAL'}
  ${'EADDRNOTAVAIL'}                               | ${'UNREACHABLE'}
  ${'EMFILE'}                                      | ${'INTERNAL'}
`('$code → $errorClass', ({ code, errorClass }) => {
  expect(failureOf(coded(code))).toEqual({ errorClass, message: adviceFor(errorClass) })
})

test('what undici throws without a code, and what is no error at all', () => {
  expect(classify(new errors.HTTPParserError('bad'))).toBe('PROTOCOL')
  expect(classify(new assert.AssertionError({ message: 'bad' }))).toBe('PROTOCOL')
  for (const error of [new Error('ECONNREFUSED'), null, undefined, 'ECONNRESET'])
    expect(classify(error)).toBe('INTERNAL')
})

test.each([
  ['HPE_INVALID_CONSTANT', '', /begin with a status line/],
  ['HPE_UNEXPECTED_CONTENT_LENGTH', '', /leaves its length in doubt/],
  ['HPE_INVALID_HEADER_TOKEN', '', /header of the answer is malformed/],
  ['HPE_INVALID_CONSTANT', '\x15\x03\x01', /is TLS, not HTTP/],
  ['HPE_SOMETHING_NEW', '', /not valid HTTP/],
])('advice on %s (%j) of the parser', (code, data, advice) => {
  const error = Object.assign(new errors.HTTPParserError('text that must not matter'), { code, data })
  expect(failureOf(error)).toEqual({ errorClass: 'PROTOCOL', message: expect.stringMatching(advice) })
})

test('only our own errors bring their own words', () => {
  expect(failureOf(new EgressError('DNS', 'ours'))).toEqual({ errorClass: 'DNS', message: 'ours' })
  expect(failureOf(coded('EMFILE')).message).not.toContain('text that must not matter')
})

test('there is advice for every class', () => {
  for (const errorClass of ATTEMPT_ERROR_CLASSES) expect(adviceFor(errorClass)).toMatch(/^[A-Z].*\.$/)
})
