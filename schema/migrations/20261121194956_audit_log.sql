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
CREATE INDEX "audit_log_of_tenant" ON "postrider"."audit_log" USING btree ("tenant_id","id");--> statement-breakpoint
CREATE INDEX "audit_log_of_object" ON "postrider"."audit_log" USING btree ("object","id");--> statement-breakpoint
CREATE INDEX "audit_log_of_actor" ON "postrider"."audit_log" USING btree ("actor_id","id");