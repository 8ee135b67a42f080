CREATE TABLE "postrider"."lane_outbox" (
	"event_id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"position" bigint GENERATED ALWAYS AS IDENTITY (sequence name "postrider"."lane_outbox_position_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1)
);
--> statement-breakpoint
CREATE TABLE "postrider"."lanes" (
	"endpoint_id" uuid NOT NULL,
	"lane" text NOT NULL,
	"tenant_id" uuid NOT NULL,
	"last_sequence" bigint DEFAULT 0 NOT NULL,
	"head" uuid,
	"blocked" boolean DEFAULT false NOT NULL,
	CONSTRAINT "lanes_endpoint_id_lane_pk" PRIMARY KEY("endpoint_id","lane")
);
--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" DROP CONSTRAINT "deliveries_waiting_for";--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" DROP CONSTRAINT "endpoints_disabled_reason";--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD COLUMN "lane" text;--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD COLUMN "sequence" bigint;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "health" text DEFAULT 'HEALTHY' NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "failing_since" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "failed_attempts" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "allowance" integer;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "allowance_reason" text;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "allowance_changed_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "rate_per_second" double precision;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "next_slot_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "ordering" text DEFAULT 'NONE' NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "on_blocked" text DEFAULT 'WAIT' NOT NULL;--> statement-breakpoint
CREATE INDEX "lane_outbox_of_tenant" ON "postrider"."lane_outbox" USING btree ("tenant_id","position");--> statement-breakpoint
CREATE INDEX "lanes_blocked" ON "postrider"."lanes" USING btree ("endpoint_id") WHERE "postrider"."lanes"."blocked";--> statement-breakpoint
CREATE INDEX "deliveries_in_lane" ON "postrider"."deliveries" USING btree ("endpoint_id","lane","sequence") WHERE "postrider"."deliveries"."waiting_for" = 'ORDER';--> statement-breakpoint
CREATE INDEX "endpoints_ordered" ON "postrider"."endpoints" USING btree ("tenant_id") WHERE "postrider"."endpoints"."ordering" <> 'NONE' and "postrider"."endpoints"."deleted_at" is null;--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD CONSTRAINT "deliveries_in_lane_have_a_number" CHECK (("postrider"."deliveries"."lane" is null) = ("postrider"."deliveries"."sequence" is null));--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD CONSTRAINT "deliveries_waiting_for" CHECK ("postrider"."deliveries"."waiting_for" in ('REQUESTED', 'ALLOWANCE', 'RETRY_ALLOWANCE', 'RETRY', 'ORDER'));--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_health" CHECK ("postrider"."endpoints"."health" in ('HEALTHY', 'FAILING'));--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_failing" CHECK ("postrider"."endpoints"."failing_since" is not null or "postrider"."endpoints"."failed_attempts" = 0);--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_allowance_reason" CHECK ("postrider"."endpoints"."allowance_reason" in ('PUSHBACK', 'FAILING', 'SLOW'));--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_allowance" CHECK ("postrider"."endpoints"."allowance" >= 1 and ("postrider"."endpoints"."allowance" is null) = ("postrider"."endpoints"."allowance_reason" is null));--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_rate" CHECK ("postrider"."endpoints"."rate_per_second" between 0.01 and 10000);--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_ordering" CHECK ("postrider"."endpoints"."ordering" in ('NONE', 'PER_ENDPOINT', 'PER_KEY'));--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_on_blocked" CHECK ("postrider"."endpoints"."on_blocked" in ('WAIT', 'SKIP_AFTER_FAILED'));--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_disabled_reason" CHECK ("postrider"."endpoints"."disabled_reason" in ('GONE', 'FAILING'));