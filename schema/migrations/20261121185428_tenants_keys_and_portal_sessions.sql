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
ALTER TABLE "postrider"."tenants" ADD COLUMN "name" text;--> statement-breakpoint
ALTER TABLE "postrider"."tenants" ADD COLUMN "deleted_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."portal_sessions" ADD CONSTRAINT "portal_sessions_tenant_id_tenants_id_fk" FOREIGN KEY ("tenant_id") REFERENCES "postrider"."tenants"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "postrider"."portal_sessions" ADD CONSTRAINT "portal_sessions_api_key_id_api_keys_id_fk" FOREIGN KEY ("api_key_id") REFERENCES "postrider"."api_keys"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "portal_sessions_of_tenant" ON "postrider"."portal_sessions" USING btree ("tenant_id","id");--> statement-breakpoint
CREATE INDEX "portal_sessions_of_api_key" ON "postrider"."portal_sessions" USING btree ("api_key_id") WHERE "postrider"."portal_sessions"."revoked_at" is null;--> statement-breakpoint
CREATE INDEX "portal_sessions_by_expiry" ON "postrider"."portal_sessions" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "api_keys_of_tenant" ON "postrider"."api_keys" USING btree ("tenant_id","id");--> statement-breakpoint
CREATE UNIQUE INDEX "tenants_living_key" ON "postrider"."tenants" USING btree ("key") WHERE "postrider"."tenants"."deleted_at" is null;