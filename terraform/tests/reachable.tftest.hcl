# Deliveries reach the program, and the program runs within its limits.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "requests_reach_the_program" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.plaudit.ingress == "INGRESS_TRAFFIC_ALL"
    error_message = "Git hosts call from outside Google."
  }

  assert {
    condition     = [for t in google_cloud_run_v2_service.plaudit.traffic : [t.type, t.percent]] == [["TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", 100]]
    error_message = "All requests go to the newest revision."
  }

  assert {
    condition = (
      google_cloud_run_v2_service.plaudit.name == "plaudit" &&
      google_cloud_run_v2_service.plaudit.location == "europe-west1" &&
      google_cloud_run_v2_service_iam_member.everyone[0].name == "plaudit" &&
      google_cloud_run_v2_service_iam_member.everyone[0].location == "europe-west1"
    )
    error_message = "The grant to everyone is for this service."
  }

  # Cloud Run puts the port into PORT, and the program listens there.
  assert {
    condition     = [for p in google_cloud_run_v2_service.plaudit.template[0].containers[0].ports : p.container_port] == [8080]
    error_message = "The container's port is 8080."
  }

  assert {
    condition     = google_cloud_run_v2_service.plaudit.template[0].containers[0].image == var.image
    error_message = "The image that was asked for runs."
  }

  assert {
    condition = (
      google_cloud_run_v2_service.plaudit.template[0].containers[0].resources[0].limits == tomap({ cpu = "1", memory = "512Mi" }) &&
      google_cloud_run_v2_service.plaudit.template[0].execution_environment == "EXECUTION_ENVIRONMENT_GEN2" &&
      google_cloud_run_v2_service.plaudit.template[0].timeout == "300s" &&
      google_cloud_run_v2_service.plaudit.template[0].max_instance_request_concurrency == 200 &&
      google_cloud_run_v2_service.plaudit.template[0].scaling[0].max_instance_count == 10
    )
    error_message = "The limits by default."
  }

  assert {
    condition = [
      for p in google_cloud_run_v2_service.plaudit.template[0].containers[0].startup_probe : [p.period_seconds, p.timeout_seconds, p.failure_threshold, p.http_get[0].path]
    ] == [[1, 1, 30, "/healthz"]]
    error_message = "A start is noticed within a second, and may take 30."
  }

  assert {
    condition = [
      for p in google_cloud_run_v2_service.plaudit.template[0].containers[0].liveness_probe : [p.period_seconds, p.timeout_seconds, p.failure_threshold, p.http_get[0].path]
    ] == [[15, 5, 3, "/healthz"]]
    error_message = "An instance that hangs is replaced after three checks, not after one."
  }

  assert {
    condition = (
      google_cloud_scheduler_job.drain[0].paused == false &&
      google_cloud_scheduler_job.drain[0].attempt_deadline == "55s" &&
      google_cloud_scheduler_job.drain[0].retry_config[0].retry_count == 0
    )
    error_message = "The job runs, and one call is over before the next."
  }
}

run "as_large_as_asked_for" {
  command = plan

  variables {
    cpu                     = "4"
    memory                  = "2Gi"
    request_timeout_seconds = 600
  }

  assert {
    condition = (
      google_cloud_run_v2_service.plaudit.template[0].containers[0].resources[0].limits == tomap({ cpu = "4", memory = "2Gi" }) &&
      google_cloud_run_v2_service.plaudit.template[0].timeout == "600s"
    )
    error_message = "cpu, memory and request_timeout_seconds must reach the service."
  }
}
