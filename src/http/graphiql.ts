import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

/** The page and its tabs, each one a step of the story; offline, with everything it needs in it. */

const CREATE = `# 1 · Create an endpoint
#
# Put your API key into the Headers tab below; it was printed when Postrider first started.
# Then press the refresh button on the left, and the schema is there to be explored.

mutation CreateEndpoint($url: String!) {
  endpointCreate(input: { url: $url, eventTypes: ["invoice.*"], retry: { delaysSeconds: [1, 2, 4, 8, 16] } }) {
    endpoint {
      id
      url
      state
    }
    secret # verifies the signatures; shown this once
    userErrors {
      code
      message
      path
    }
  }
}
`

const WATCH = `# 2 · Watch deliveries, live, over WebSocket

subscription WatchDeliveries {
  deliveryAttempts {
    cursor
    ... on AttemptRecorded {
      attempt {
        eventType
        number
        succeeded
        errorClass
        durationMs
        response {
          status
        }
      }
    }
  }
}
`

const PUBLISH = `# 3 · Publish an event

mutation PublishEvent($payload: JSON!) {
  eventPublish(input: { type: "invoice.paid", payload: $payload }) {
    event {
      id
      acceptedAt
    }
    duplicate
    userErrors {
      code
      message
      path
    }
  }
}
`

const WHY = `# 4 · Why did it fail?

query WhyDidItFail {
  deliveries(filter: { states: [PENDING, FAILED] }, first: 5) {
    nodes {
      id
      eventType
      state
      waitingFor
      nextAttemptAt
      attempts(first: 3) {
        nodes {
          number
          startedAt
          errorClass
          errorMessage
          request {
            url
            body
          }
          response {
            status
            body
          }
        }
      }
    }
  }
}
`

const RETRY = `# 5 · Retry one, once its receiver is mended

mutation RetryDelivery($id: ID!) {
  deliveryRetry(id: $id) {
    delivery {
      state
      attemptsMade
    }
    userErrors {
      code
      message
      path
    }
  }
}
`

// Header values are ASCII: a placeholder with "…" would fail in the browser before anything is sent.
const headers = JSON.stringify({ Authorization: 'Bearer prk_your_key' }, null, 2)
const tab = (query: string, variables?: object) => ({
  query,
  headers,
  variables: variables === undefined ? null : JSON.stringify(variables, null, 2),
})

const TABS = [
  tab(CREATE, { url: 'https://example.com/webhooks' }),
  tab(WATCH),
  tab(PUBLISH, { payload: { invoice: 'in_1', amount: '49.00', currency: 'EUR' } }),
  tab(WHY),
  tab(RETRY, { id: 'dlv_' }),
]

export const GRAPHIQL_OPTIONS = {
  title: 'Postrider',
  defaultTabs: TABS,
  headers,
  subscriptionsProtocol: 'WS' as const,
}

export type GraphiqlPage = { plain: Buffer; gzipped: Buffer }

/** The page, made when it is first asked for: it is nine megabytes, nearly all of it the editor. */
export async function renderGraphiql(): Promise<GraphiqlPage> {
  const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql')
  const plain = Buffer.from(renderGraphiQL(GRAPHIQL_OPTIONS))
  return { plain, gzipped: await promisify(gzip)(plain) }
}
