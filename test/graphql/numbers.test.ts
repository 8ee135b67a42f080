import { type GraphQLArgument, type GraphQLInputField, getNamedType, isInputObjectType, isObjectType } from 'graphql'
import { expect, test } from 'vitest'
import { newId, publicId } from '../../schema/ids.ts'
import { NUMBER_RANGES } from '../../src/graphql/number-ranges.ts'
import { buildSchema } from '../../src/graphql/schema.ts'
import { startApi } from './api.ts'

const ID = publicId('ep', newId<'ep'>(new Date()))
const create = (input: string) =>
  `mutation { endpointCreate(input: { url: "https://a.example", ${input} }) { userErrors { code path message } } }`
const update = (input: string) =>
  `mutation { endpointUpdate(id: "${ID}", input: { ${input} }) { userErrors { code path message } } }`
const growing = (more: string) => create(`retry: { exponential: { ${more} } }`)
const fixed = (more: string) => create(`retry: { fixed: { ${more} } }`)
const ROTATE = `mutation { endpointRotateSecret(id: "${ID}", overlapSeconds: #) { userErrors { code path message } } }`
const SESSION = `mutation { portalSessionCreate(input: { scope: READ, expiresInSeconds: # }) { userErrors { code path message } } }`

const PAGE = 'a whole number of entries from 0 to 100, like 20'
const DELAY = 'a whole number of seconds from 1 to 604800, like 60'
const TIMEOUT = 'a whole number of seconds from 1 to 30, like 15'
const IN_FLIGHT = 'a whole number of requests from 1 to 1000, like 20'
const RATE = 'a number of requests per second from 0.01 to 10000, like 0.5'
const ATTEMPTS = 'a whole number of attempts from 1 to 100, like 8'

test.each`
  place                                       | document                                                         | type       | least   | most      | words
  ${'first'}                                  | ${'{ endpoints(first: #) { nodes { id } } }'}                    | ${'Int'}   | ${0}    | ${100}    | ${PAGE}
  ${'last'}                                   | ${'{ attempts(last: #) { nodes { id } } }'}                      | ${'Int'}   | ${0}    | ${100}    | ${PAGE}
  ${'filter.statusCodes.0'}                   | ${'{ attempts(filter: { statusCodes: [#] }) { nodes { id } } }'} | ${'Int!'}  | ${100}  | ${999}    | ${'a whole number from 100 to 999, like 503'}
  ${'overlapSeconds'}                         | ${ROTATE}                                                        | ${'Int'}   | ${0}    | ${604800} | ${'a whole number of seconds from 0 to 604800, like 3600'}
  ${'input.expiresInSeconds'}                 | ${SESSION}                                                       | ${'Int'}   | ${60}   | ${86400}  | ${'a whole number of seconds from 60 to 86400, like 3600'}
  ${'input.timeoutSeconds'}                   | ${create('timeoutSeconds: #')}                                   | ${'Int'}   | ${1}    | ${30}     | ${TIMEOUT}
  ${'input.timeoutSeconds'}                   | ${update('timeoutSeconds: #')}                                   | ${'Int'}   | ${1}    | ${30}     | ${TIMEOUT}
  ${'input.maxInFlight'}                      | ${create('maxInFlight: #')}                                      | ${'Int'}   | ${1}    | ${1000}   | ${IN_FLIGHT}
  ${'input.maxInFlight'}                      | ${update('maxInFlight: #')}                                      | ${'Int'}   | ${1}    | ${1000}   | ${IN_FLIGHT}
  ${'input.ratePerSecond'}                    | ${create('ratePerSecond: #')}                                    | ${'Float'} | ${0.01} | ${10000}  | ${RATE}
  ${'input.ratePerSecond'}                    | ${update('ratePerSecond: #')}                                    | ${'Float'} | ${0.01} | ${10000}  | ${RATE}
  ${'input.retry.delaysSeconds.1'}            | ${create('retry: { delaysSeconds: [5, #] }')}                    | ${'Int!'}  | ${1}    | ${604800} | ${DELAY}
  ${'input.retry.fixed.intervalSeconds'}      | ${fixed('intervalSeconds: #, attempts: 2')}                      | ${'Int!'}  | ${1}    | ${604800} | ${DELAY}
  ${'input.retry.fixed.attempts'}             | ${fixed('intervalSeconds: 5, attempts: #')}                      | ${'Int!'}  | ${1}    | ${100}    | ${ATTEMPTS}
  ${'input.retry.exponential.initialSeconds'} | ${growing('initialSeconds: #, attempts: 2')}                     | ${'Int!'}  | ${1}    | ${604800} | ${DELAY}
  ${'input.retry.exponential.factor'}         | ${growing('initialSeconds: 5, attempts: 2, factor: #')}          | ${'Float'} | ${1}    | ${10}     | ${'a number from 1 to 10, like 1.5'}
  ${'input.retry.exponential.maxSeconds'}     | ${growing('initialSeconds: 1, attempts: 2, maxSeconds: #')}      | ${'Int'}   | ${1}    | ${604800} | ${DELAY}
  ${'input.retry.exponential.attempts'}       | ${growing('initialSeconds: 5, attempts: #')}                     | ${'Int!'}  | ${1}    | ${100}    | ${ATTEMPTS}
`('$place takes $words, and whoever gives something else is told so: $document', async (each) => {
  const { place, document, type, least, most, words } = each
  const { send } = await startApi()
  const path = place.split('.')
  const withVariable = document.replace(/^(\w*) ?\{/, (_: string, kind: string) => `${kind || 'query'} ($n: ${type}) {`)
  /** What is said of a number in the document, as a variable, and as the default of one. */
  const saidOf = async (n: unknown) => {
    const inDefault = withVariable.replace(`$n: ${type}`, `$n: ${type} = ${JSON.stringify(n)}`)
    const answers = [
      await send(document.replace('#', JSON.stringify(n))),
      await send(withVariable.replace('#', '$n'), { n }),
      await send(inDefault.replace('#', '$n')),
    ]
    return answers.map(({ errors, data }) => {
      const [error] = errors ?? []
      if (error !== undefined) return { ...error.extensions, message: error.message }
      return Object.values(data as Record<string, { userErrors: object[] }>)[0]?.userErrors[0]
    })
  }
  const refused = (message: unknown) => Array.from({ length: 3 }, () => ({ code: 'INVALID_INPUT', path, message }))

  for (const n of [least - 1, most + 1]) expect(await saidOf(n)).toEqual(refused(`Must be ${words}.`))
  const wrong: [unknown, string][] = [
    ['5', 'a string'],
    [true, 'true or false'],
  ]
  if (type.startsWith('Int')) wrong.push([1.5, 'one with a fraction or an exponent'], [3e9, 'one far outside of that'])
  for (const [n, what] of wrong) {
    const said = `${place}: must be ${words}; ${what} was given.`
    expect(await saidOf(n)).toEqual(refused(expect.stringMatching(new RegExp(`^(Variable "\\$n", )?${said}$`))))
  }
  const declared = withVariable.replace(`$n: ${type}`, '$n: String!').replace('#', '$n')
  const { errors } = await send(declared, { n: '5' })
  expect(errors).toMatchObject([
    {
      message: expect.stringMatching(
        new RegExp(`^${place}: Variable "\\$n" of type "String!" .* It takes ${words}\\.$`),
      ),
      extensions: { code: 'GRAPHQL_VALIDATION_FAILED', path },
    },
  ])
})

test('every number that the API takes has its range in the table, and in its description', () => {
  const taken: (GraphQLArgument | GraphQLInputField)[] = Object.values(buildSchema().getTypeMap()).flatMap((type) => {
    if (type.name.startsWith('__')) return []
    if (isInputObjectType(type)) return Object.values(type.getFields())
    return isObjectType(type) ? Object.values(type.getFields()).flatMap(({ args }) => [...args]) : []
  })
  const numbers = taken.filter(({ type }) => ['Int', 'Float'].includes(getNamedType(type).name))
  expect(new Set(numbers.map(({ name }) => name))).toEqual(new Set(Object.keys(NUMBER_RANGES)))
  for (const { name, description } of numbers) {
    const { from, to } = NUMBER_RANGES[name] ?? expect.unreachable()
    // The first wait is the least that the longest may be.
    const least = name === 'maxSeconds' ? '`initialSeconds`' : from
    expect(description, name).toContain(`${least} to ${to}`)
  }
})
