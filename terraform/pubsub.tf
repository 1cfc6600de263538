# The topic of the recognitions: CloudEvents in binary mode, JSON data, the same id on every try.
#
# Why the topic has no schema by default. With a schema, Pub/Sub refuses every message that does not fit it.
# - An AVRO schema would refuse these messages: in AVRO's JSON a nullable value is wrapped ({"string": "…"}) and may not be
#   absent (tested with Google's emulator), and the data here is plain JSON.
# - A protocol buffer schema (recognition.proto) accepts plain JSON and treats null as absent, but refuses unknown fields
#   (tested with protobuf's own JSON parser; the emulator has no such schemas). So each field added within v1 would need its
#   schema revision before the program is deployed; in the wrong order every recognition would wait in the outbox.
# The program's tests validate every message against the JSON Schema before anything is deployed. message_schema = true
# adds the check at the topic.
resource "google_pubsub_schema" "recognition" {
  count = var.message_schema ? 1 : 0

  name       = "${var.name}-recognition-v1"
  type       = "PROTOCOL_BUFFER"
  definition = file("${path.module}/recognition.proto")

  depends_on = [terraform_data.apis_ready]
}

resource "google_pubsub_topic" "recognitions" {
  # checkov:skip=CKV_GCP_83:Google encrypts at rest; a customer-managed key adds a way to lose messages, and the messages contain public names.
  name = "${var.name}-recognitions"

  # A new consumer can go back a week.
  message_retention_duration = "604800s"

  # Stored in this region only.
  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  dynamic "schema_settings" {
    for_each = google_pubsub_schema.recognition
    content {
      schema   = schema_settings.value.id
      encoding = "JSON"
    }
  }

  depends_on = [terraform_data.apis_ready]
}

resource "google_pubsub_topic_iam_member" "service_publishes" {
  topic  = google_pubsub_topic.recognitions.id
  role   = "roles/pubsub.publisher"
  member = google_service_account.service.member
}

# Messages that a consumer did not acknowledge after ten attempts. An alert reports them.
resource "google_pubsub_topic" "dead_letters" {
  count = local.full ? 1 : 0

  # checkov:skip=CKV_GCP_83:Google encrypts at rest; a customer-managed key adds a way to lose messages, and the messages contain public names.
  name                       = "${var.name}-dead-letters"
  message_retention_duration = "604800s"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [terraform_data.apis_ready]
}

# Without a subscription the topic would drop a dead letter at once.
resource "google_pubsub_subscription" "dead_letters" {
  count = local.full ? 1 : 0

  name                       = "${var.name}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters[0].id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }
}

# An example subscription: what a bot would have.
resource "google_pubsub_subscription" "example" {
  count = local.example ? 1 : 0

  name                       = "${var.name}-example"
  topic                      = google_pubsub_topic.recognitions.id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"

  # Never removed for being unused.
  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters[0].id
    max_delivery_attempts = 10
  }
}

# Pub/Sub's service agent moves dead letters from the subscription to the topic. Without both grants it moves nothing, and
# no error shows.
locals {
  example      = local.full && var.example_subscription
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic_iam_member" "agent_gives_dead_letters" {
  count = local.full ? 1 : 0

  topic  = google_pubsub_topic.dead_letters[0].id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "agent_takes_dead_letters" {
  count = local.example ? 1 : 0

  subscription = google_pubsub_subscription.example[0].id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}
