ALTER TABLE "postrider"."attempts" DROP CONSTRAINT "attempts_trigger";--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" DROP CONSTRAINT "deliveries_requested_trigger";--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "disabled_reason" text;--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD COLUMN "disabled_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "postrider"."attempts" ADD CONSTRAINT "attempts_trigger" CHECK ("postrider"."attempts"."trigger" in ('SCHEDULE', 'MANUAL', 'TEST'));--> statement-breakpoint
ALTER TABLE "postrider"."deliveries" ADD CONSTRAINT "deliveries_requested_trigger" CHECK ("postrider"."deliveries"."requested_trigger" in ('SCHEDULE', 'MANUAL', 'TEST'));--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_disabled_reason" CHECK ("postrider"."endpoints"."disabled_reason" in ('GONE'));--> statement-breakpoint
ALTER TABLE "postrider"."endpoints" ADD CONSTRAINT "endpoints_disabled" CHECK (("postrider"."endpoints"."state" = 'DISABLED') = ("postrider"."endpoints"."disabled_reason" is not null) and ("postrider"."endpoints"."disabled_reason" is null) = ("postrider"."endpoints"."disabled_at" is null));