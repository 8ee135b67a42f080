CREATE INDEX "audit_log_of_tenant_action" ON "postrider"."audit_log" USING btree ("tenant_id","action","id");--> statement-breakpoint
CREATE INDEX "audit_log_of_action" ON "postrider"."audit_log" USING btree ("action","id");--> statement-breakpoint
CREATE UNIQUE INDEX "secrets_newest" ON "postrider"."secrets" USING btree ("endpoint_id") WHERE "postrider"."secrets"."signs_until" is null;--> statement-breakpoint
CREATE INDEX "secrets_ending" ON "postrider"."secrets" USING btree ("signs_until") WHERE "postrider"."secrets"."signs_until" is not null;--> statement-breakpoint
CREATE INDEX "secrets_of_master_key" ON "postrider"."secrets" USING btree (substr("sealed", 2, 8),"id");