# Recognitions go out here: CloudEvents in binary mode, JSON data, the same id on every try.
#
# On a schema for the topic. Pub/Sub holds a message against a schema and refuses what does not fit. An AVRO schema would
# refuse these messages: in its JSON a nullable value is wrapped ({"string": "…"}) and may not be left out (tried at
# Google's emulator), while the data here is plain JSON. A protocol buffer schema (recognition.proto) reads plain JSON and
# takes null for absent, but refuses fields it does not know (tried with protobuf's own JSON parser; the emulator has no
# such schemas): each field added within v1 would need its schema revision deployed before the program, and the wrong order
# would hold up every recognition (in the outbox: late, not lost). The program's own tests hold every message against the
# JSON Schema before anything is deployed. So the check at the topic is for those who want it: message_schema = true.
resource "google_pubsub_schema" "recognition" {
  count = var.message_schema ? 1 : 0

  name       = "${var.name}-recognition-v1"
  type       = "PROTOCOL_BUFFER"
  definition = file("${path.module}/recognition.proto")

  depends_on = [google_project_service.apis]
}

resource "google_pubsub_topic" "recognitions" {
  # checkov:skip=CKV_GCP_83:Google encrypts at rest; a key of one's own adds a way to lose messages, and they hold public names.
  name = "${var.name}-recognitions"

  # A new consumer can go back a week.
  message_retention_duration = "604800s"

  # At rest in the one region only.
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

  depends_on = [google_project_service.apis]
}

resource "google_pubsub_topic_iam_member" "service_publishes" {
  topic  = google_pubsub_topic.recognitions.id
  role   = "roles/pubsub.publisher"
  member = google_service_account.service.member
}

# What a consumer gives back too often comes here, and an alert says so.
resource "google_pubsub_topic" "dead_letters" {
  # checkov:skip=CKV_GCP_83:Google encrypts at rest; a key of one's own adds a way to lose messages, and they hold public names.
  name                       = "${var.name}-dead-letters"
  message_retention_duration = "604800s"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.apis]
}

# Without a subscription a dead letter would be dropped the moment it arrives.
resource "google_pubsub_subscription" "dead_letters" {
  name                       = "${var.name}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }
}

# A subscription to look at and to copy: what a bot that sends a gift would have.
resource "google_pubsub_subscription" "example" {
  count = var.example_subscription ? 1 : 0

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
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = 10
  }
}

# It is Pub/Sub itself that moves a dead letter: its service agent takes it from the one and gives it to the other.
# Without both grants nothing fails visibly, and nothing is moved.
locals {
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic_iam_member" "agent_gives_dead_letters" {
  topic  = google_pubsub_topic.dead_letters.id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "agent_takes_dead_letters" {
  count = var.example_subscription ? 1 : 0

  subscription = google_pubsub_subscription.example[0].id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}
