# A recognition that is not acknowledged becomes a dead letter, which an alert reports.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "a_dead_letter_can_be_moved" {
  command = plan

  assert {
    condition = (
      google_pubsub_topic_iam_member.agent_gives_dead_letters[0].topic == google_pubsub_topic.dead_letters[0].id &&
      google_pubsub_topic_iam_member.agent_gives_dead_letters[0].role == "roles/pubsub.publisher" &&
      google_pubsub_topic_iam_member.agent_gives_dead_letters[0].member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    )
    error_message = "Pub/Sub's agent must be able to publish to the dead-letter topic."
  }

  assert {
    condition = (
      google_pubsub_subscription_iam_member.agent_takes_dead_letters[0].subscription == google_pubsub_subscription.example[0].id &&
      google_pubsub_subscription_iam_member.agent_takes_dead_letters[0].role == "roles/pubsub.subscriber" &&
      google_pubsub_subscription_iam_member.agent_takes_dead_letters[0].member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    )
    error_message = "Pub/Sub's agent must be able to take the message from the subscription."
  }
}

run "a_dead_letter_is_kept" {
  command = plan

  assert {
    condition = (
      google_pubsub_subscription.dead_letters[0].topic == google_pubsub_topic.dead_letters[0].id &&
      google_pubsub_subscription.dead_letters[0].message_retention_duration == "604800s" &&
      google_pubsub_subscription.dead_letters[0].expiration_policy[0].ttl == ""
    )
    error_message = "Without a lasting subscription a dead letter is dropped on arrival."
  }
}

run "the_example_tries_again_and_gives_up" {
  command = plan

  assert {
    condition = (
      google_pubsub_subscription.example[0].topic == google_pubsub_topic.recognitions.id &&
      google_pubsub_subscription.example[0].expiration_policy[0].ttl == "" &&
      google_pubsub_subscription.example[0].message_retention_duration == "604800s" &&
      google_pubsub_subscription.example[0].ack_deadline_seconds == 60 &&
      google_pubsub_topic.recognitions.message_retention_duration == "604800s" &&
      google_pubsub_subscription.example[0].retry_policy[0].minimum_backoff == "10s" &&
      google_pubsub_subscription.example[0].retry_policy[0].maximum_backoff == "600s" &&
      google_pubsub_subscription.example[0].dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letters[0].id &&
      google_pubsub_subscription.example[0].dead_letter_policy[0].max_delivery_attempts == 10
    )
    error_message = "The subscription to copy must show retries and dead letters."
  }
}

run "the_example_can_be_left_out" {
  command = plan

  variables {
    example_subscription = false
  }

  assert {
    condition     = length(google_pubsub_subscription.example) == 0 && length(google_pubsub_subscription_iam_member.agent_takes_dead_letters) == 0
    error_message = "Without the example its grant goes too."
  }
}

run "no_schema_stands_in_the_way" {
  command = plan

  assert {
    condition     = length(google_pubsub_schema.recognition) == 0 && length(google_pubsub_topic.recognitions.schema_settings) == 0
    error_message = "Fields are added within v1; a schema at the topic would refuse them."
  }
}

run "unless_asked_for" {
  command = plan

  variables {
    message_schema = true
  }

  assert {
    condition = (
      google_pubsub_schema.recognition[0].type == "PROTOCOL_BUFFER" &&
      google_pubsub_topic.recognitions.schema_settings[0].schema == google_pubsub_schema.recognition[0].id &&
      google_pubsub_topic.recognitions.schema_settings[0].encoding == "JSON"
    )
    error_message = "The messages are JSON; AVRO's JSON would wrap every nullable value."
  }
}
