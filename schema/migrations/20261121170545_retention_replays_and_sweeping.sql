CREATE TABLE "postrider"."replay_parts" (
	"replay_id" uuid NOT NULL,
	"endpoint_id" uuid NOT NULL,
	"tenant_id" uuid NOT NULL,
	"position" uuid NOT NULL,
	"next_turn_at" timestamp (3) with time zone,
	CONSTRAINT "replay_parts_replay_id_endpoint_id_pk" PRIMARY KEY("replay_id","endpoint_id")
);
--> statement-breakpoint
CREATE TABLE "postrider"."replays" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"selection" jsonb NOT NULL,
	"state" text DEFAULT 'RUNNING' NOT NULL,
	"failure" text,
	"up_to" uuid NOT NULL,
	"total" integer NOT NULL,
	"redelivered" integer DEFAULT 0 NOT NULL,
	"skipped" integer DEFAULT 0 NOT NULL,
	"next_turn_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL,
	"finished_at" timestamp (3) with time zone,
	CONSTRAINT "replays_state" CHECK ("postrider"."replays"."state" in ('RUNNING', 'COMPLETED', 'CANCELLED', 'FAILED')),
	CONSTRAINT "replays_failure" CHECK ("postrider"."replays"."failure" in ('ENDPOINT_DELETED')),
	CONSTRAINT "replays_failed" CHECK (("postrider"."replays"."state" = 'FAILED') = ("postrider"."replays"."failure" is not null)),
	CONSTRAINT "replays_finished" CHECK (("postrider"."replays"."state" = 'RUNNING') = ("postrider"."replays"."finished_at" is null)),
	CONSTRAINT "replays_have_a_turn" CHECK ("postrider"."replays"."state" <> 'RUNNING' or "postrider"."replays"."next_turn_at" is not null),
	CONSTRAINT "replays_counts" CHECK ("postrider"."replays"."redelivered" >= 0 and "postrider"."replays"."skipped" >= 0 and "postrider"."replays"."redelivered" + "postrider"."replays"."skipped" <= "postrider"."replays"."total")
);
--> statement-breakpoint
ALTER TABLE "postrider"."attempts" DROP CONSTRAINT "attempts_trigger";--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" DROP CONSTRAINT "deliveries_waiting_for";--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" DROP CONSTRAINT "deliveries_requested_trigger";--> statement-breakpoint
DROP INDEX "postrider"."deliveries_ticketed";--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD COLUMN "failed_reason" text;--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD COLUMN "replay_id" uuid;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "ordering_changed_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."events" ADD COLUMN "parked_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."events" ADD COLUMN "expunged_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."installation" ADD COLUMN "routed_until" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."installation" ADD COLUMN "dropped_position" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."lanes" ADD COLUMN "used_at" timestamp (3) with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."replay_parts" ADD CONSTRAINT "replay_parts_replay_id_replays_id_fk" FOREIGN KEY ("replay_id") REFERENCES "postrider"."replays"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "postrider"."replays" ADD CONSTRAINT "replays_tenant_id_tenants_id_fk" FOREIGN KEY ("tenant_id") REFERENCES "postrider"."tenants"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "replays_of_tenant" ON "postrider"."replays" USING btree ("tenant_id","id");--> statement-breakpoint
CREATE INDEX "replays_in_turn" ON "postrider"."replays" USING btree ("next_turn_at") WHERE "postrider"."replays"."next_turn_at" is not null;--> statement-breakpoint
CREATE INDEX "events_for_tests" ON "postrider"."events" USING btree ("tenant_id","id") WHERE "postrider"."events"."is_test";--> statement-breakpoint
CREATE INDEX "deliveries_ticketed" ON "postrider"."deliveries" USING btree ("endpoint_id","id") WHERE "postrider"."deliveries"."ticket_id" is not null;--> statement-breakpoint
ALTER TABLE "postrider"."attempts" ADD CONSTRAINT "attempts_trigger" CHECK ("postrider"."attempts"."trigger" in ('SCHEDULE', 'MANUAL', 'REPLAY', 'TEST'));--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD CONSTRAINT "deliveries_failed_reason" CHECK ("postrider"."deliveries"."failed_reason" in ('EXHAUSTED', 'EXPIRED'));--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD CONSTRAINT "deliveries_only_failed_have_a_reason" CHECK ("postrider"."deliveries"."failed_reason" is null or "postrider"."deliveries"."state" = 'FAILED');--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD CONSTRAINT "deliveries_replay_goes_or_waits" CHECK ("postrider"."deliveries"."replay_id" is null or "postrider"."deliveries"."ticket_id" is not null or "postrider"."deliveries"."waiting_for" is not null);--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD CONSTRAINT "deliveries_wait_for_replay" CHECK ("postrider"."deliveries"."waiting_for" is distinct from 'REPLAY' or "postrider"."deliveries"."replay_id" is not null);--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD CONSTRAINT "deliveries_waiting_for" CHECK ("postrider"."deliveries"."waiting_for" in ('REQUESTED', 'ALLOWANCE', 'RETRY_ALLOWANCE', 'REPLAY', 'RETRY', 'ORDER'));--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD CONSTRAINT "deliveries_requested_trigger" CHECK ("postrider"."deliveries"."requested_trigger" in ('SCHEDULE', 'MANUAL', 'REPLAY', 'TEST'));