CREATE TABLE "postrider"."event_type_versions" (
	"event_type_id" uuid NOT NULL,
	"version" text NOT NULL,
	"schema" text NOT NULL,
	"example" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "event_type_versions_pkey" PRIMARY KEY("event_type_id","version")
);
--> statement-breakpoint
CREATE TABLE "postrider"."event_types" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"description" text,
	"group" text,
	"validation" text DEFAULT 'OFF' NOT NULL,
	"deprecated_at" timestamp (3) with time zone,
	"replacement" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"archived_at" timestamp (3) with time zone,
	CONSTRAINT "event_types_validation" CHECK ("postrider"."event_types"."validation" in ('OFF', 'WARN', 'REJECT')),
	CONSTRAINT "event_types_replacement" CHECK ("postrider"."event_types"."replacement" is null or "postrider"."event_types"."deprecated_at" is not null)
);
--> statement-breakpoint
CREATE TABLE "postrider"."filter_faults" (
	"endpoint_id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"count" bigint NOT NULL,
	"event_id" uuid NOT NULL,
	"message" text NOT NULL,
	"at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "postrider"."signing_keys" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"endpoint_id" uuid NOT NULL,
	"public_key" "bytea" NOT NULL,
	"sealed" "bytea" NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"signs_from" timestamp (3) with time zone,
	"signs_until" timestamp (3) with time zone,
	CONSTRAINT "signing_keys_next_has_no_end" CHECK ("postrider"."signing_keys"."signs_from" is not null or "postrider"."signing_keys"."signs_until" is null)
);
--> statement-breakpoint
ALTER TABLE "postrider"."audit_log" DROP CONSTRAINT "audit_log_action";--> statement-breakpoint
ALTER TABLE "postrider"."attempts" ADD COLUMN "format" text DEFAULT 'ENVELOPE' NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "channels" text[];--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "filter" text;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "versions" jsonb;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "format" text DEFAULT 'ENVELOPE' NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "signs_standard" boolean DEFAULT true NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "signs_ed25519" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "also_signs" jsonb;--> statement-breakpoint
ALTER TABLE "postrider"."events" ADD COLUMN "matched" boolean;--> statement-breakpoint
ALTER TABLE "postrider"."events" ADD COLUMN "schema_faults" jsonb;--> statement-breakpoint
ALTER TABLE "postrider"."installation" ADD COLUMN "max_payload_bytes" integer DEFAULT 262144 NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."installation" ADD COLUMN "idempotency_hours" double precision DEFAULT 24 NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."installation" ADD COLUMN "refuses_unknown_event_types" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."event_type_versions" ADD CONSTRAINT "event_type_versions_event_type_id_event_types_id_fk" FOREIGN KEY ("event_type_id") REFERENCES "postrider"."event_types"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "postrider"."filter_faults" ADD CONSTRAINT "filter_faults_endpoint_id_endpoints_id_fk" FOREIGN KEY ("endpoint_id") REFERENCES "postrider"."endpoints"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "postrider"."signing_keys" ADD CONSTRAINT "signing_keys_endpoint_id_endpoints_id_fk" FOREIGN KEY ("endpoint_id") REFERENCES "postrider"."endpoints"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "event_types_name" ON "postrider"."event_types" USING btree ("name");--> statement-breakpoint
CREATE INDEX "event_types_updated" ON "postrider"."event_types" USING btree ("updated_at");--> statement-breakpoint
CREATE INDEX "signing_keys_of_tenant" ON "postrider"."signing_keys" USING btree ("tenant_id","endpoint_id");--> statement-breakpoint
CREATE UNIQUE INDEX "signing_keys_next" ON "postrider"."signing_keys" USING btree ("endpoint_id") WHERE "postrider"."signing_keys"."signs_from" is null;--> statement-breakpoint
CREATE UNIQUE INDEX "signing_keys_newest" ON "postrider"."signing_keys" USING btree ("endpoint_id") WHERE "postrider"."signing_keys"."signs_from" is not null and "postrider"."signing_keys"."signs_until" is null;--> statement-breakpoint
CREATE INDEX "signing_keys_ending" ON "postrider"."signing_keys" USING btree ("signs_until") WHERE "postrider"."signing_keys"."signs_until" is not null;--> statement-breakpoint
CREATE INDEX "signing_keys_of_master_key" ON "postrider"."signing_keys" USING btree (substr("sealed", 2, 8),"id");--> statement-breakpoint
CREATE INDEX "events_unmatched" ON "postrider"."events" USING btree ("tenant_id","id") WHERE "postrider"."events"."matched" = false;--> statement-breakpoint
ALTER TABLE "postrider"."audit_log" ADD CONSTRAINT "audit_log_action" CHECK ("postrider"."audit_log"."action" in ('TENANT_CREATE', 'TENANT_UPDATE', 'TENANT_DELETE', 'API_KEY_CREATE', 'API_KEY_REVOKE', 'PORTAL_SESSION_CREATE', 'PORTAL_SESSION_REVOKE', 'ENDPOINT_CREATE', 'ENDPOINT_UPDATE', 'ENDPOINT_PAUSE', 'ENDPOINT_RESUME', 'ENDPOINT_TEST', 'ENDPOINT_DELETE', 'ENDPOINT_ROTATE_SECRET', 'ENDPOINT_REVEAL_SECRET', 'DELIVERY_RETRY', 'DELIVERY_CANCEL', 'REPLAY_START', 'REPLAY_CANCEL', 'EVENT_EXPUNGE', 'EVENT_ROUTE', 'EVENT_TYPE_SAVE', 'EVENT_TYPE_ARCHIVE', 'EVENT_TYPES_IMPORT', 'KEYS_ROTATE'));--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_format" CHECK ("postrider"."endpoints"."format" in ('ENVELOPE', 'RAW', 'THIN', 'CLOUDEVENTS_STRUCTURED', 'CLOUDEVENTS_BINARY', 'FORM', 'XML'));