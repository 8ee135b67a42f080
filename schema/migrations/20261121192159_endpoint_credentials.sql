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
ALTER TABLE "postrider"."endpoint_credentials" ADD CONSTRAINT "endpoint_credentials_endpoint_id_endpoints_id_fk" FOREIGN KEY ("endpoint_id") REFERENCES "postrider"."endpoints"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "endpoint_credentials_of_master_key" ON "postrider"."endpoint_credentials" USING btree (substr("sealed", 2, 8));