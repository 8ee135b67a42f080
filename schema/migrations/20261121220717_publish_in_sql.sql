-- An event written inside the producer's own transaction. For those who call it: docs/sql-publish.md.
--
-- `postrider.publish` runs with its owner's rights for whoever may call it. Hence a fixed search path with the temporary schema
-- last, names that are qualified, and no dynamic SQL; backslashes in E'' strings only, which mean the same whatever
-- standard_conforming_strings the caller has set; and locals of the database's collation, because a parameter has that of the
-- column it was called with, and two collations cannot be compared. The helpers are for itself: they have no path of their own.

CREATE FUNCTION "postrider"."refuse_event"("code" text, "parameter" text, "what" text, "next" text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = CASE code
      WHEN 'INVALID_INPUT' THEN 'PR001'
      WHEN 'RESERVED_EVENT_TYPE' THEN 'PR002'
      WHEN 'UNKNOWN_EVENT_TYPE' THEN 'PR003'
      WHEN 'INVALID_PAYLOAD' THEN 'PR004'
      WHEN 'PAYLOAD_TOO_LARGE' THEN 'PR005'
      WHEN 'NOT_FOUND' THEN 'PR006'
      WHEN 'IDEMPOTENCY_CONFLICT' THEN 'PR007'
      ELSE 'PR008'
    END,
    MESSAGE = format('%s at %s: %s', code, parameter, what),
    DETAIL = 'Nothing of this event was written.',
    HINT = next,
    COLUMN = parameter;
END
$$;
--> statement-breakpoint
-- RFC 9562, section 6.2, method 3: twelve bits of the microsecond after the time, so that what one session makes sorts as it was made.
CREATE FUNCTION "postrider"."new_id"("moment" timestamptz) RETURNS uuid
LANGUAGE sql VOLATILE AS $$
  SELECT (
    lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0')
    || '7' || lpad(to_hex((extract(microseconds FROM moment)::bigint % 1000) * 4096 / 1000), 3, '0')
    || right(replace(gen_random_uuid()::text, '-', ''), 16)
  )::uuid
$$;
--> statement-breakpoint
CREATE FUNCTION "postrider"."public_event_id"("id" uuid) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  bits bit(130) := B'00' || ('x' || replace(id::text, '-', ''))::bit(128);
  text_of text := 'evt_';
BEGIN
  FOR place IN 1..126 BY 5 LOOP
    text_of := text_of || substr('0123456789abcdefghjkmnpqrstvwxyz', substring(bits FROM place FOR 5)::integer + 1, 1);
  END LOOP;
  RETURN text_of;
END
$$;
--> statement-breakpoint
CREATE FUNCTION "postrider"."check_short_text"("parameter" text, "value" text, "most" integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  -- As JavaScript counts, which judges what comes through the API: what lies beyond U+FFFF is two.
  units integer := length(value)
    + CASE WHEN octet_length(value) > most THEN length(regexp_replace(value, E'[^\U00010000-\U0010FFFF]+', '', 'g')) ELSE 0 END;
BEGIN
  IF units = 0 OR units > most THEN
    PERFORM postrider.refuse_event('INVALID_INPUT', parameter, format('it has %s characters.', units),
      format('Give 1 to %s characters, or null.', most));
  END IF;
END
$$;
--> statement-breakpoint
CREATE FUNCTION "postrider"."check_event_type"("type" text, "must_be_known" boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF length(type) <= 128 AND type ~ E'^[A-Za-z0-9_]+(\\.[A-Za-z0-9_]+)*$' THEN
    IF starts_with(type, 'endpoint.') OR starts_with(type, 'delivery.') THEN
      PERFORM postrider.refuse_event('RESERVED_EVENT_TYPE', 'type',
        format('"%s" is reserved: Postrider itself publishes endpoint.* and delivery.*.', type), 'Choose another first word.');
    END IF;
    IF must_be_known AND NOT EXISTS (
      SELECT FROM postrider.event_types known WHERE known.name = check_event_type.type AND known.archived_at IS NULL
    ) THEN
      PERFORM postrider.refuse_event('UNKNOWN_EVENT_TYPE', 'type', format('the catalogue has no event type "%s".', type),
        'Check its spelling against the query eventTypes, or add it with eventTypeSave.');
    END IF;
  ELSE
    PERFORM postrider.refuse_event('INVALID_INPUT', 'type',
      format('%s is not an event type.', coalesce('"' || left(type, 140) || '"', 'null')),
      'Use at most 128 letters, digits and "_" in words joined by single dots, like "invoice.paid".');
  END IF;
END
$$;
--> statement-breakpoint
CREATE FUNCTION "postrider"."check_payload"("payload" text, "most_bytes" integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  whole_escape CONSTANT text := E'\\\\(?:[^u]|u[0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|u[dD][0-7][0-9a-fA-F]{2}'
    '|u[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2})';
  fault text;
  brackets text;
BEGIN
  IF payload IS NULL THEN
    PERFORM postrider.refuse_event('INVALID_PAYLOAD', 'payload', 'it is null.',
      'Give JSON text; the JSON value null is ''null''. A row or a jsonb becomes text with to_json(x)::text.');
  END IF;
  IF octet_length(payload) > most_bytes THEN
    PERFORM postrider.refuse_event('PAYLOAD_TOO_LARGE', 'payload',
      format('it has %s bytes; at most %s are allowed.', octet_length(payload), most_bytes),
      'Send less, such as a link to it, or raise POSTRIDER_MAX_PAYLOAD_BYTES.');
  END IF;
  BEGIN
    -- Not jsonb, which refuses what is JSON: \u0000, and numbers of very many digits.
    PERFORM payload::json;
  EXCEPTION
    WHEN data_exception THEN
      GET STACKED DIAGNOSTICS fault = PG_EXCEPTION_DETAIL;
    WHEN statement_too_complex THEN
      fault := 'It nests deeper than 64 levels.';
  END;
  IF fault IS NOT NULL THEN
    PERFORM postrider.refuse_event('INVALID_PAYLOAD', 'payload', format('it is not JSON: %s', left(fault, 200)),
      'Give strict JSON text, such as that of json_build_object(…)::text.');
  END IF;
  -- Whole escapes away, what is left of the backslashes begins half of a surrogate pair. That the text is JSON is known by now.
  IF strpos(payload, E'\\u') > 0 AND payload ~ E'\\\\u[dD][89a-fA-F]'
    AND strpos(regexp_replace(payload, whole_escape, '', 'g'), E'\\') > 0 THEN
    PERFORM postrider.refuse_event('INVALID_PAYLOAD', 'payload', 'it holds half of a surrogate pair, which is not a character.',
      E'Write both halves, as in "\\ud83d\\ude00", or the character itself.');
  END IF;
  IF octet_length(payload) - octet_length(replace(replace(payload, '[', ''), '{', '')) > 64 THEN
    -- What stands outside of strings, once escaped backslashes and quotes are gone: every other piece between quotes. Of that the
    -- brackets. Regular expressions took 7 ms for 16 KB of small objects, this takes 2.
    SELECT string_agg(piece, '') INTO brackets
    FROM unnest(string_to_array(replace(replace(payload, E'\\\\', ''), E'\\"', ''), '"')) WITH ORDINALITY pieces (piece, place)
    WHERE place % 2 = 1;
    brackets := translate(brackets, E'{},: \n\r\t0123456789.-+eEtrufalsn', '[]');
    FOR level IN 1..64 LOOP
      EXIT WHEN brackets = '';
      -- Takes away the innermost ones: one level.
      brackets := replace(brackets, '[]', '');
    END LOOP;
    IF brackets <> '' THEN
      PERFORM postrider.refuse_event('INVALID_PAYLOAD', 'payload', 'it nests deeper than 64 levels.', 'Flatten it.');
    END IF;
  END IF;
END
$$;
--> statement-breakpoint
-- As priority 1 (`ORDINARY` in src/events/bursts.ts), and as pg-boss would insert it: a test compares the two, column by column.
CREATE FUNCTION "postrider"."enqueue_event"("event" uuid, "moment" timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO postrider_queue.job (
    id, name, data, priority, start_after, created_on, expire_seconds, deletion_seconds, keep_until, retry_limit, retry_delay,
    retry_backoff, retry_delay_max, policy, dead_letter, heartbeat_seconds, blocked, blocking, pending_dependencies
  )
  SELECT postrider.new_id(moment), queue.name, jsonb_build_object('events', jsonb_build_array(event)), 1, begun, begun,
    queue.expire_seconds, queue.deletion_seconds, begun + queue.retention_seconds * interval '1 second', queue.retry_limit,
    queue.retry_delay, coalesce(queue.retry_backoff, false), queue.retry_delay_max, queue.policy, queue.dead_letter,
    queue.heartbeat_seconds, false, false, 0
  FROM postrider_queue.queue, postrider_queue.job_now() begun
  WHERE queue.name = 'outbox';
  IF NOT FOUND THEN
    PERFORM postrider.refuse_event('NOT_READY', 'type', 'there is no outbox yet.', 'Start Postrider on this database once.');
  END IF;
END
$$;
--> statement-breakpoint
CREATE FUNCTION "postrider"."publish"(
  "type" text,
  "payload" text,
  "tenant" text DEFAULT 'default',
  "idempotency_key" text DEFAULT NULL,
  "ordering_key" text DEFAULT NULL,
  "channels" text[] DEFAULT NULL,
  "version" text DEFAULT NULL,
  "occurred_at" timestamptz DEFAULT NULL,
  "wake" boolean DEFAULT true
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict error
DECLARE
  -- The collation of the database, whatever that of the arguments.
  of_type text COLLATE pg_catalog."default" := publish.type;
  body text COLLATE pg_catalog."default" := publish.payload;
  of_tenant text COLLATE pg_catalog."default" := coalesce(publish.tenant, 'default');
  given_key text COLLATE pg_catalog."default" := publish.idempotency_key;
  in_order_of text COLLATE pg_catalog."default" := publish.ordering_key;
  of_version text COLLATE pg_catalog."default" := publish.version;
  channel text COLLATE pg_catalog."default";
  in_channels text[] COLLATE pg_catalog."default" := '{}';
  accepted_at timestamptz := clock_timestamp();
  event uuid := postrider.new_id(accepted_at);
  happened_at timestamptz;
  rules record;
  tenant_row uuid;
  hash bytea;
  holder record;
BEGIN
  SELECT max_payload_bytes, idempotency_hours, refuses_unknown_event_types INTO rules FROM postrider.installation;
  IF NOT FOUND OR to_regclass('postrider.events_' || to_char(accepted_at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NULL THEN
    PERFORM postrider.refuse_event('NOT_READY', 'type', 'Postrider has not run on this database for two weeks: there is no table for the events of today.',
      'Start a process of Postrider on this database; it makes the tables for two weeks ahead.');
  END IF;
  PERFORM postrider.check_event_type(of_type, rules.refuses_unknown_event_types);
  PERFORM postrider.check_short_text('version', of_version, 64);
  PERFORM postrider.check_short_text('ordering_key', in_order_of, 256);
  PERFORM postrider.check_short_text('idempotency_key', given_key, 256);
  IF array_ndims(publish.channels) > 1 OR cardinality(publish.channels) > 16 THEN
    PERFORM postrider.refuse_event('INVALID_INPUT', 'channels', format('there are %s.', cardinality(publish.channels)),
      'Give at most 16, in one dimension.');
  END IF;
  FOREACH channel IN ARRAY coalesce(publish.channels, '{}') LOOP
    IF channel ~ '^[A-Za-z0-9_.:-]{1,128}$' THEN
      in_channels := in_channels || channel;
    ELSE
      PERFORM postrider.refuse_event('INVALID_INPUT', 'channels', format('%s is not a channel.', coalesce('"' || left(channel, 140) || '"', 'null')),
        'A channel has 1 to 128 letters, digits, "_", ".", ":" or "-".');
    END IF;
  END LOOP;
  IF NOT isfinite(publish.occurred_at) OR extract(year FROM publish.occurred_at AT TIME ZONE 'UTC') NOT BETWEEN 1 AND 9999 THEN
    PERFORM postrider.refuse_event('INVALID_INPUT', 'occurred_at', format('%s is out of range.', publish.occurred_at),
      'Give a moment of the years 1 to 9999, or null for now.');
  END IF;
  happened_at := date_trunc('milliseconds', publish.occurred_at);
  PERFORM postrider.check_payload(body, rules.max_payload_bytes);

  SELECT known.id INTO tenant_row FROM postrider.tenants known WHERE known.key = of_tenant AND known.deleted_at IS NULL;
  IF NOT FOUND THEN
    -- No more of it than a hint: somebody may have taken a secret for it.
    PERFORM postrider.refuse_event('NOT_FOUND', 'tenant',
      format('there is no tenant with the key "%s".', left(of_tenant, 8) || CASE WHEN length(of_tenant) > 8 THEN '…' ELSE '' END),
      'Give the key of a tenant, as `tenants { nodes { key } }` lists them, or leave it out for "default".');
  END IF;

  IF given_key IS NOT NULL THEN
    -- The very text that src/events/draft.ts hashes: one key and body are one event, whichever way they come.
    hash := sha256(convert_to(format('[%s,%s,%s,%s,%s,%s]', to_json(of_type), coalesce(to_json(of_version)::text, 'null'),
      to_json(in_channels), coalesce(to_json(in_order_of)::text, 'null'),
      coalesce(to_json(to_char(happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))::text, 'null'), to_json(body)), 'UTF8'));
    LOOP
      INSERT INTO postrider.idempotency_keys AS held (tenant_id, key, body_hash, event_id, expires_at)
      VALUES (tenant_row, given_key, hash, event, accepted_at + rules.idempotency_hours * interval '1 hour')
      ON CONFLICT (tenant_id, key) DO UPDATE
        SET body_hash = excluded.body_hash, event_id = excluded.event_id, expires_at = excluded.expires_at
        WHERE held.expires_at <= accepted_at;
      EXIT WHEN FOUND;
      SELECT held.body_hash, held.event_id INTO holder
      FROM postrider.idempotency_keys held WHERE held.tenant_id = tenant_row AND held.key = given_key;
      -- Else it has just been forgotten.
      IF FOUND THEN
        IF holder.body_hash <> hash THEN
          PERFORM postrider.refuse_event('IDEMPOTENCY_CONFLICT', 'idempotency_key',
            format('"%s" was used before with another body.', given_key), 'Use a new key for a new event.');
        END IF;
        RETURN postrider.public_event_id(holder.event_id);
      END IF;
    END LOOP;
  END IF;

  INSERT INTO postrider.events (id, tenant_id, type, version, channels, ordering_key, occurred_at)
  VALUES (event, tenant_row, of_type, of_version, in_channels, in_order_of, coalesce(happened_at, date_trunc('milliseconds', accepted_at)));
  INSERT INTO postrider.event_payloads (id, payload) VALUES (event, body);
  INSERT INTO postrider.lane_outbox (event_id, tenant_id)
  SELECT event, tenant_row WHERE EXISTS (
    SELECT FROM postrider.endpoints ordered
    WHERE ordered.tenant_id = tenant_row AND ordered.ordering <> 'NONE' AND ordered.deleted_at IS NULL
  );
  PERFORM postrider.enqueue_event(event, accepted_at);
  IF wake IS NOT FALSE THEN
    -- What src/queue/wake.ts listens for: who says so, and what of. The same text any number of times is one notification.
    PERFORM pg_notify('postrider_wake', 'sql outbox');
  END IF;
  RETURN postrider.public_event_id(event);
END
$$;
--> statement-breakpoint
REVOKE ALL ON FUNCTION "postrider"."refuse_event", "postrider"."new_id", "postrider"."public_event_id", "postrider"."check_short_text",
  "postrider"."check_event_type", "postrider"."check_payload", "postrider"."enqueue_event", "postrider"."publish" FROM PUBLIC;
--> statement-breakpoint
COMMENT ON FUNCTION "postrider"."publish" IS 'Publishes an event as part of this transaction and returns its id, evt_…. See docs/sql-publish.md.';
