import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

/** The page and its tabs, each one a step of the story; offline, with everything it needs in it. */

// In every tab: its Headers are its own.
const KEY = '# Your API key belongs into the Headers tab below.'

const CREATE = `# 1 · Create an endpoint
#
${KEY}
# The first start printed it. With the key in place, the
# refresh button on the left loads the schema. A URL on your own
# machine is refused unless the server was started with
# POSTRIDER_ALLOW_NETWORKS=127.0.0.0/8.

mutation CreateEndpoint {
  endpointCreate(input: {
    url: "http://127.0.0.1:9000/hook"
    eventTypes: ["invoice.*"]
    retry: { delaysSeconds: [1, 2, 4, 8, 16] }
  }) {
    endpoint {
      id
      url
      state
    }
    secret # verifies signatures; shown this once
    userErrors {
      code
      message
      path
    }
  }
}
`

const WATCH = `# 2 · Watch deliveries, live, over WebSocket
#
${KEY}
# Changing the tab ends it: open a second window for this
# one, and publish from the first.

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
#
${KEY}

mutation PublishEvent {
  eventPublish(input: {
    type: "invoice.paid"
    payload: { invoice: "in_1", amount: "49.00", currency: "EUR" }
  }) {
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
#
${KEY}

query WhyDidItFail {
  deliveries(filter: { states: [PENDING, FAILED] }, first: 5) {
    nodes {
      id
      eventType
      state
      waitingFor
      plannedAttempts
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
#
${KEY}
# Its id is in the result of tab 4.

mutation RetryDelivery {
  deliveryRetry(id: "dlv_") {
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

const REPLAY = `# 6 · Replay what failed
#
${KEY}
# The query counts, the mutation starts: the play button
# asks which of them to run.

query CountFirst {
  replayPreview(input: {
    select: { deliveries: { states: [FAILED] } }
  }) {
    toRedeliver
    oldestAt
    warnings {
      message
    }
  }
}

mutation StartReplay {
  replayStart(input: {
    select: { deliveries: { states: [FAILED] } }
  }) {
    replay {
      id
      state
      total
      redelivered
    }
    userErrors {
      code
      message
      path
    }
  }
}
`

const EXPLAIN = `# 7 · Who would get it, and why not?
#
${KEY}
# Nothing is published. Event.routing says the same of an
# event that was; eventRoute sends it where it was missed.

query WhoGetsIt {
  routingExplain(event: {
    type: "invoice.paid"
    payload: { invoice: "in_1", amount: "49.00", currency: "EUR" }
    channels: ["eu"]
  }) {
    endpoint {
      url
      state
      filter
    }
    matches
    refusal
    fault
    filterPart {
      text
    }
  }
}
`

// Header values are ASCII: a placeholder with "…" would fail in the browser before anything is sent.
const headers = JSON.stringify({ Authorization: 'Bearer prk_your_key' }, null, 2)
const TABS = [CREATE, WATCH, PUBLISH, WHY, RETRY, REPLAY, EXPLAIN].map((query) => ({ query, headers }))

/** The page begins with a tab for each step from the first endpoint to a replay. */
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
