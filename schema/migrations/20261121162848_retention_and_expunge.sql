ALTER TABLE "postrider"."deliveries" ADD COLUMN "failed_reason" text;--> statement-breakpoint
ALTER TABLE "postrider"."events" ADD COLUMN "expunged_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."installation" ADD COLUMN "dropped_position" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."lanes" ADD COLUMN "used_at" timestamp (3) with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD CONSTRAINT "deliveries_failed_reason" CHECK ("postrider"."deliveries"."failed_reason" in ('EXHAUSTED', 'EXPIRED'));--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD CONSTRAINT "deliveries_only_failed_have_a_reason" CHECK ("postrider"."deliveries"."failed_reason" is null or "postrider"."deliveries"."state" = 'FAILED');