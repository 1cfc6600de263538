# Every failure has an alert, and every alert says what to do.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "every_alert_has_a_runbook" {
  command = plan

  assert {
    condition = alltrue([
      for p in concat(values(google_monitoring_alert_policy.burns), values(google_monitoring_alert_policy.thresholds), values(google_monitoring_alert_policy.absences), values(google_monitoring_alert_policy.lines)) :
      try(length(p.documentation[0].content) > 200 && strcontains(p.documentation[0].content, "1. ") && p.documentation[0].subject != "", false)
    ])
    error_message = "Every alert must have a runbook with steps."
  }

  # Read from the sources, so that an alert added elsewhere has to be added above.
  assert {
    condition     = length(regexall("resource \"google_monitoring_alert_policy\"", join("\n", [for f in fileset(path.root, "*.tf") : file("${path.root}/${f}")]))) == 4
    error_message = "There is a family of alerts that these tests do not know."
  }
}

run "every_alert_of_the_promise" {
  command = plan

  assert {
    condition = toset(concat(keys(google_monitoring_alert_policy.burns), keys(google_monitoring_alert_policy.thresholds), keys(google_monitoring_alert_policy.absences), keys(google_monitoring_alert_policy.lines))) == toset([
      "availability_fast", "availability_slow", "latency_fast", "latency_slow",
      "latency_p99", "outbox_age", "dead_letters", "instances_at_limit", "failed_signatures", "uptime",
      "no_deliveries", "no_drain",
      "drain_fails", "no_instance", "panic", "fatal", "out_of_memory", "exits", "failed_revision", "secret_access",
      "reconcile_fails", "webhook_broken", "deliveries_lost",
    ])
    error_message = "An alert was added or removed."
  }
}

run "every_alert_reaches_somebody" {
  command = plan

  variables {
    notification_channels = ["projects/acme-thanks/notificationChannels/1", "projects/acme-thanks/notificationChannels/2"]
  }

  assert {
    condition = alltrue([
      for p in concat(values(google_monitoring_alert_policy.burns), values(google_monitoring_alert_policy.thresholds), values(google_monitoring_alert_policy.absences), values(google_monitoring_alert_policy.lines)) :
      p.notification_channels == tolist(["projects/acme-thanks/notificationChannels/1", "projects/acme-thanks/notificationChannels/2"])
    ])
    error_message = "Every alert must go to every channel."
  }
}

run "a_burn_needs_both_windows" {
  command = plan

  assert {
    condition     = alltrue([for p in google_monitoring_alert_policy.burns : p.combiner == "AND" && length(p.conditions) == 2])
    error_message = "A long window alone fires for an hour after the end, a short one alone at every short peak."
  }
}

run "limits_follow_the_variables" {
  command = plan

  variables {
    max_instances        = 4
    outbox_alert_seconds = 900
  }

  assert {
    condition     = google_monitoring_alert_policy.thresholds["instances_at_limit"].conditions[0].condition_threshold[0].threshold_value == 3.5
    error_message = "At the limit means at max_instances."
  }

  assert {
    condition     = google_monitoring_alert_policy.thresholds["outbox_age"].conditions[0].condition_threshold[0].threshold_value == 900
    error_message = "outbox_alert_seconds must reach the alert."
  }
}

run "silence_is_noticed" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.absences["no_deliveries"].conditions[0].condition_absent[0].duration == "84600s"
    error_message = "A day without a delivery must be noticed (23.5 hours is the longest there is)."
  }

  assert {
    condition     = google_monitoring_alert_policy.absences["no_drain"].conditions[0].condition_absent[0].duration == "900s"
    error_message = "A drain that does not run must be noticed."
  }
}

run "asked_from_outside" {
  command = plan

  assert {
    condition = (
      google_monitoring_uptime_check_config.outside[0].monitored_resource[0].labels.host == "plaudit-abc123-ew.a.run.app" &&
      google_monitoring_uptime_check_config.outside[0].http_check[0].use_ssl &&
      google_monitoring_uptime_check_config.outside[0].http_check[0].validate_ssl
    )
    error_message = "The public URL must be asked for, over TLS."
  }

  assert {
    condition     = !endswith(google_monitoring_uptime_check_config.outside[0].http_check[0].path, "z")
    error_message = "Google's front end reserves /healthz; a check of it would always fail."
  }
}

run "the_dashboard_is_whole" {
  command = plan

  assert {
    condition = alltrue([
      for t in jsondecode(google_monitoring_dashboard.plaudit[0].dashboard_json).mosaicLayout.tiles :
      try(t.xPos, 0) + t.width <= 48 && t.widget.title != "" && length(try(t.widget.xyChart.dataSets[0].timeSeriesQuery.timeSeriesFilter.filter, t.widget.scorecard.timeSeriesQuery.timeSeriesFilter.filter)) > 0
    ])
    error_message = "Every tile fits the page, has a title and shows something."
  }

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.plaudit[0].dashboard_json).mosaicLayout.tiles) == 16
    error_message = "Two budgets and fourteen charts."
  }
}

run "event_streams_do_not_count_as_slow" {
  command = plan

  assert {
    condition     = strcontains(local.call_logs, "NOT httpRequest.requestUrl=~\"/v1/recognitions/stream\"")
    error_message = "A stream lasts minutes by design."
  }
}
