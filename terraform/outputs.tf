output "url" {
  value       = google_cloud_run_v2_service.plaudit.uri
  description = "The service's URL, for testing online: curl \"$(terraform output -raw url)/openapi.json\"."
}

output "docs_url" {
  value       = "${google_cloud_run_v2_service.plaudit.uri}/docs"
  description = "The page to read and try the API."
}

output "webhook_urls" {
  value = {
    github = "${google_cloud_run_v2_service.plaudit.uri}/webhooks/github"
    gitlab = "${google_cloud_run_v2_service.plaudit.uri}/webhooks/gitlab"
  }
  description = "What to enter at each host as the webhook's URL."
}

output "topic" {
  value       = google_pubsub_topic.recognitions.id
  description = "The topic of the recognitions, for subscriptions."
}

output "example_subscription" {
  value       = one(google_pubsub_subscription.example[*].id)
  description = "The example subscription, or null."
}

output "dead_letter_subscription" {
  value       = one(google_pubsub_subscription.dead_letters[*].id)
  description = "The subscription that keeps dead letters, or null."
}

output "image_repository" {
  value       = "${google_artifact_registry_repository.images.location}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
  description = "Push images here."
}

output "secret_commands" {
  value = {
    for variable, id in local.secret_ids :
    variable => "gcloud secrets versions add ${id} --project=${var.project_id} --data-file=-"
  }
  description = "One command for each secret: it reads the value from standard input and prints the new version's number, which goes into secret_versions."
}

output "dashboard" {
  value       = one(google_monitoring_dashboard.plaudit[*].id)
  description = "The dashboard's id, or null."
}
