CREATE TABLE "postrider"."audit_log" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid,
	"action" text NOT NULL,
	"object" text,
	"actor_kind" text NOT NULL,
	"actor_id" uuid,
	"actor_name" text NOT NULL,
	"address" text,
	"details" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "audit_log_action" CHECK ("postrider"."audit_log"."action" in ('TENANT_CREATE', 'TENANT_UPDATE', 'TENANT_DELETE', 'API_KEY_CREATE', 'API_KEY_REVOKE', 'PORTAL_SESSION_CREATE', 'PORTAL_SESSION_REVOKE', 'ENDPOINT_CREATE', 'ENDPOINT_UPDATE', 'ENDPOINT_PAUSE', 'ENDPOINT_RESUME', 'ENDPOINT_TEST', 'ENDPOINT_DELETE', 'ENDPOINT_ROTATE_SECRET', 'ENDPOINT_REVEAL_SECRET', 'DELIVERY_RETRY', 'DELIVERY_CANCEL', 'REPLAY_START', 'REPLAY_CANCEL', 'EVENT_EXPUNGE', 'KEYS_ROTATE')),
	CONSTRAINT "audit_log_actor_kind" CHECK ("postrider"."audit_log"."actor_kind" in ('API_KEY', 'PORTAL_SESSION', 'SYSTEM')),
	CONSTRAINT "audit_log_actor" CHECK (("postrider"."audit_log"."actor_kind" = 'SYSTEM') = ("postrider"."audit_log"."actor_id" is null))
);
--> statement-breakpoint
CREATE TABLE "postrider"."endpoint_credentials" (
	"endpoint_id" uuid NOT NULL,
	"tenant_id" uuid NOT NULL,
	"part" text NOT NULL,
	"shown" jsonb NOT NULL,
	"sealed" "bytea" NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "endpoint_credentials_endpoint_id_part_pk" PRIMARY KEY("endpoint_id","part"),
	CONSTRAINT "endpoint_credentials_part" CHECK ("postrider"."endpoint_credentials"."part" in ('HEADERS', 'AUTHORIZATION', 'CLIENT_CERTIFICATE'))
);
--> statement-breakpoint
CREATE TABLE "postrider"."portal_sessions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"api_key_id" uuid NOT NULL,
	"name" text NOT NULL,
	"hash" "bytea" NOT NULL,
	"scope" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"revoked_at" timestamp (3) with time zone,
	CONSTRAINT "portal_sessions_hash_unique" UNIQUE("hash"),
	CONSTRAINT "portal_sessions_scope" CHECK ("postrider"."portal_sessions"."scope" in ('READ', 'MANAGE'))
);
--> statement-breakpoint
ALTER TABLE "postrider"."tenants" DROP CONSTRAINT "tenants_key_unique";--> statement-breakpoint
ALTER TABLE "postrider"."api_keys" ADD COLUMN "hint" text;--> statement-breakpoint
ALTER TABLE "postrider"."api_keys" ADD COLUMN "last_used_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD COLUMN "before_replay" jsonb;--> statement-breakpoint
ALTER TABLE "postrider"."tenants" ADD COLUMN "name" text;--> statement-breakpoint
ALTER TABLE "postrider"."tenants" ADD COLUMN "deleted_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."endpoint_credentials" ADD CONSTRAINT "endpoint_credentials_endpoint_id_endpoints_id_fk" FOREIGN KEY ("endpoint_id") REFERENCES "postrider"."endpoints"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "postrider"."portal_sessions" ADD CONSTRAINT "portal_sessions_tenant_id_tenants_id_fk" FOREIGN KEY ("tenant_id") REFERENCES "postrider"."tenants"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "postrider"."portal_sessions" ADD CONSTRAINT "portal_sessions_api_key_id_api_keys_id_fk" FOREIGN KEY ("api_key_id") REFERENCES "postrider"."api_keys"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "audit_log_of_tenant" ON "postrider"."audit_log" USING btree ("tenant_id","id");--> statement-breakpoint
CREATE INDEX "audit_log_of_tenant_action" ON "postrider"."audit_log" USING btree ("tenant_id","action","id");--> statement-breakpoint
CREATE INDEX "audit_log_of_action" ON "postrider"."audit_log" USING btree ("action","id");--> statement-breakpoint
CREATE INDEX "audit_log_of_object" ON "postrider"."audit_log" USING btree ("object","id");--> statement-breakpoint
CREATE INDEX "audit_log_of_actor" ON "postrider"."audit_log" USING btree ("actor_id","id");--> statement-breakpoint
CREATE INDEX "endpoint_credentials_of_master_key" ON "postrider"."endpoint_credentials" USING btree (substr("sealed", 2, 8));--> statement-breakpoint
CREATE INDEX "portal_sessions_of_tenant" ON "postrider"."portal_sessions" USING btree ("tenant_id","id");--> statement-breakpoint
CREATE INDEX "portal_sessions_of_api_key" ON "postrider"."portal_sessions" USING btree ("api_key_id") WHERE "postrider"."portal_sessions"."revoked_at" is null;--> statement-breakpoint
CREATE INDEX "portal_sessions_by_expiry" ON "postrider"."portal_sessions" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "api_keys_of_tenant" ON "postrider"."api_keys" USING btree ("tenant_id","id");--> statement-breakpoint
CREATE INDEX "deliveries_of_replay" ON "postrider"."deliveries" USING btree ("replay_id","endpoint_id","id") WHERE "postrider"."deliveries"."waiting_for" = 'REPLAY';--> statement-breakpoint
CREATE INDEX "events_expunged" ON "postrider"."events" USING btree ("tenant_id","id") WHERE "postrider"."events"."expunged_at" is not null;--> statement-breakpoint
CREATE INDEX "replay_parts_in_turn" ON "postrider"."replay_parts" USING btree ("replay_id","next_turn_at","endpoint_id") WHERE "postrider"."replay_parts"."next_turn_at" is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "secrets_newest" ON "postrider"."secrets" USING btree ("endpoint_id") WHERE "postrider"."secrets"."signs_until" is null;--> statement-breakpoint
CREATE INDEX "secrets_ending" ON "postrider"."secrets" USING btree ("signs_until") WHERE "postrider"."secrets"."signs_until" is not null;--> statement-breakpoint
CREATE INDEX "secrets_of_master_key" ON "postrider"."secrets" USING btree (substr("sealed", 2, 8),"id");--> statement-breakpoint
CREATE UNIQUE INDEX "tenants_living_key" ON "postrider"."tenants" USING btree ("key") WHERE "postrider"."tenants"."deleted_at" is null;