CREATE SCHEMA IF NOT EXISTS "postrider";
--> statement-breakpoint
CREATE SEQUENCE "postrider"."attempt_positions" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE TABLE "postrider"."api_keys" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid,
	"name" text NOT NULL,
	"hash" "bytea" NOT NULL,
	"scopes" text[] NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone,
	CONSTRAINT "api_keys_hash_unique" UNIQUE("hash")
);
--> statement-breakpoint
CREATE TABLE "postrider"."attempt_bodies" (
	"id" uuid PRIMARY KEY NOT NULL,
	"body" "bytea" NOT NULL
) PARTITION BY RANGE ("id");
--> statement-breakpoint
CREATE TABLE "postrider"."attempts" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"delivery_id" uuid NOT NULL,
	"event_id" uuid NOT NULL,
	"endpoint_id" uuid NOT NULL,
	"event_type" text NOT NULL,
	"position" bigint NOT NULL,
	"number" integer NOT NULL,
	"trigger" text NOT NULL,
	"duration_ms" integer NOT NULL,
	"succeeded" boolean NOT NULL,
	"error_class" text,
	"error_message" text,
	"method" text NOT NULL,
	"url" text NOT NULL,
	"request_headers" text NOT NULL,
	"request_bytes" integer NOT NULL,
	"status" smallint,
	"response_headers" text,
	"response_bytes" integer,
	"response_truncated" boolean DEFAULT false NOT NULL,
	"remote_address" text,
	"reused_socket" boolean DEFAULT false NOT NULL,
	"dns_ms" real,
	"connect_ms" real,
	"tls_ms" real,
	"first_byte_ms" real,
	CONSTRAINT "attempts_trigger" CHECK ("postrider"."attempts"."trigger" in ('SCHEDULE', 'MANUAL')),
	CONSTRAINT "attempts_error_class" CHECK ("postrider"."attempts"."error_class" in ('BLOCKED_ADDRESS', 'DNS', 'CONNECT_TIMEOUT', 'CONNECT_REFUSED', 'UNREACHABLE', 'TLS_EXPIRED', 'TLS_UNTRUSTED', 'TLS_HOSTNAME', 'TLS_PROTOCOL', 'TLS_CLIENT_CERTIFICATE', 'RESET', 'TIMEOUT', 'PROTOCOL', 'HTTP_STATUS', 'HEADERS_TOO_LARGE', 'OAUTH', 'PROXY', 'INTERNAL'))
) PARTITION BY RANGE ("id");
--> statement-breakpoint
CREATE TABLE "postrider"."deliveries" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"event_id" uuid NOT NULL,
	"endpoint_id" uuid NOT NULL,
	"event_type" text NOT NULL,
	"state" text DEFAULT 'PENDING' NOT NULL,
	"waiting_for" text,
	"ticket_id" uuid,
	"attempts_made" integer DEFAULT 0 NOT NULL,
	"scheduled_attempts_made" integer DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp (3) with time zone,
	"requested_trigger" text,
	"requested_at" timestamp (3) with time zone,
	"last_attempt_id" uuid,
	"created_at" timestamp (3) with time zone NOT NULL,
	"settled_at" timestamp (3) with time zone,
	CONSTRAINT "deliveries_state" CHECK ("postrider"."deliveries"."state" in ('PENDING', 'DELIVERED', 'FAILED', 'CANCELLED')),
	CONSTRAINT "deliveries_waiting_for" CHECK ("postrider"."deliveries"."waiting_for" in ('ALLOWANCE', 'RETRY')),
	CONSTRAINT "deliveries_requested_trigger" CHECK ("postrider"."deliveries"."requested_trigger" in ('SCHEDULE', 'MANUAL')),
	CONSTRAINT "deliveries_ticket_or_wait" CHECK ("postrider"."deliveries"."ticket_id" is null or "postrider"."deliveries"."waiting_for" is null),
	CONSTRAINT "deliveries_pending_goes_or_waits" CHECK (("postrider"."deliveries"."state" = 'PENDING' or "postrider"."deliveries"."requested_trigger" is not null) = ("postrider"."deliveries"."ticket_id" is not null or "postrider"."deliveries"."waiting_for" is not null)),
	CONSTRAINT "deliveries_retry_has_a_time" CHECK ("postrider"."deliveries"."waiting_for" is distinct from 'RETRY' or "postrider"."deliveries"."next_attempt_at" is not null),
	CONSTRAINT "deliveries_settled" CHECK (("postrider"."deliveries"."state" = 'PENDING') = ("postrider"."deliveries"."settled_at" is null)),
	CONSTRAINT "deliveries_requested" CHECK (("postrider"."deliveries"."requested_trigger" is null) = ("postrider"."deliveries"."requested_at" is null))
) PARTITION BY RANGE ("id");
--> statement-breakpoint
CREATE TABLE "postrider"."endpoints" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"url" text NOT NULL,
	"description" text,
	"event_types" text[],
	"method" text DEFAULT 'POST' NOT NULL,
	"state" text DEFAULT 'ACTIVE' NOT NULL,
	"retry_policy" jsonb,
	"timeout_seconds" integer NOT NULL,
	"max_in_flight" integer NOT NULL,
	"backlog" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"deleted_at" timestamp (3) with time zone,
	CONSTRAINT "endpoints_state" CHECK ("postrider"."endpoints"."state" in ('ACTIVE', 'PAUSED', 'DISABLED')),
	CONSTRAINT "endpoints_method" CHECK ("postrider"."endpoints"."method" in ('POST', 'PUT', 'PATCH')),
	CONSTRAINT "endpoints_timeout" CHECK ("postrider"."endpoints"."timeout_seconds" between 1 and 30),
	CONSTRAINT "endpoints_max_in_flight" CHECK ("postrider"."endpoints"."max_in_flight" between 1 and 1000)
);
--> statement-breakpoint
CREATE TABLE "postrider"."event_payloads" (
	"id" uuid PRIMARY KEY NOT NULL,
	"payload" text NOT NULL
) PARTITION BY RANGE ("id");
--> statement-breakpoint
CREATE TABLE "postrider"."events" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"type" text NOT NULL,
	"version" text,
	"channels" text[] NOT NULL,
	"ordering_key" text,
	"is_test" boolean DEFAULT false NOT NULL,
	"occurred_at" timestamp (3) with time zone NOT NULL,
	"routed_at" timestamp (3) with time zone
) PARTITION BY RANGE ("id");
--> statement-breakpoint
CREATE TABLE "postrider"."idempotency_keys" (
	"tenant_id" uuid NOT NULL,
	"key" text NOT NULL,
	"body_hash" "bytea" NOT NULL,
	"event_id" uuid NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY("tenant_id","key")
);
--> statement-breakpoint
CREATE TABLE "postrider"."installation" (
	"only" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"epoch" text NOT NULL,
	"key_check" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "installation_only" CHECK ("postrider"."installation"."only")
);
--> statement-breakpoint
CREATE TABLE "postrider"."secrets" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"endpoint_id" uuid NOT NULL,
	"sealed" "bytea" NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"signs_until" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "postrider"."tenants" (
	"id" uuid PRIMARY KEY NOT NULL,
	"key" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "tenants_key_unique" UNIQUE("key")
);
--> statement-breakpoint
ALTER TABLE "postrider"."api_keys" ADD CONSTRAINT "api_keys_tenant_id_tenants_id_fk" FOREIGN KEY ("tenant_id") REFERENCES "postrider"."tenants"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_tenant_id_tenants_id_fk" FOREIGN KEY ("tenant_id") REFERENCES "postrider"."tenants"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "postrider"."secrets" ADD CONSTRAINT "secrets_endpoint_id_endpoints_id_fk" FOREIGN KEY ("endpoint_id") REFERENCES "postrider"."endpoints"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "attempts_in_order" ON "postrider"."attempts" USING btree ("position");--> statement-breakpoint
CREATE INDEX "attempts_of_tenant" ON "postrider"."attempts" USING btree ("tenant_id","id");--> statement-breakpoint
CREATE INDEX "attempts_of_endpoint" ON "postrider"."attempts" USING btree ("endpoint_id","id");--> statement-breakpoint
CREATE INDEX "attempts_of_delivery" ON "postrider"."attempts" USING btree ("delivery_id","id");--> statement-breakpoint
CREATE INDEX "deliveries_of_tenant" ON "postrider"."deliveries" USING btree ("tenant_id","id");--> statement-breakpoint
CREATE INDEX "deliveries_of_endpoint" ON "postrider"."deliveries" USING btree ("endpoint_id","id");--> statement-breakpoint
CREATE INDEX "deliveries_waiting" ON "postrider"."deliveries" USING btree ("endpoint_id","waiting_for","id") WHERE "postrider"."deliveries"."waiting_for" is not null;--> statement-breakpoint
CREATE INDEX "deliveries_ticketed" ON "postrider"."deliveries" USING btree ("endpoint_id") WHERE "postrider"."deliveries"."ticket_id" is not null;--> statement-breakpoint
CREATE INDEX "deliveries_to_retry" ON "postrider"."deliveries" USING btree ("next_attempt_at") WHERE "postrider"."deliveries"."waiting_for" = 'RETRY';--> statement-breakpoint
CREATE INDEX "endpoints_of_tenant" ON "postrider"."endpoints" USING btree ("tenant_id","id") WHERE "postrider"."endpoints"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "endpoints_in_backlog" ON "postrider"."endpoints" USING btree ("id") WHERE "postrider"."endpoints"."backlog";--> statement-breakpoint
CREATE INDEX "events_of_tenant" ON "postrider"."events" USING btree ("tenant_id","id");--> statement-breakpoint
CREATE INDEX "idempotency_keys_expiry" ON "postrider"."idempotency_keys" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "secrets_of_endpoint" ON "postrider"."secrets" USING btree ("endpoint_id");