# Every alert looks at the right thing, in the right direction. tests/it/log_filters.rs of the program evaluates the filters on
# lines that it wrote.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "what_is_measured" {
  command = plan

  assert {
    condition = (
      local.service_logs == "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"plaudit\"" &&
      local.request_logs == "${local.service_logs} AND logName=\"projects/acme-thanks/logs/run.googleapis.com%2Frequests\"" &&
      local.program_logs == "${local.service_logs} AND logName=\"projects/acme-thanks/logs/run.googleapis.com%2Fstderr\"" &&
      local.call_logs == "${local.request_logs} AND httpRequest.requestUrl=~\"^https://[^/]+/(webhooks|v1)/\" AND NOT httpRequest.requestUrl=~\"/v1/recognitions/stream\""
    )
    error_message = "The program writes its log to standard error."
  }

  assert {
    condition = { for k, m in google_logging_metric.counters : m.name => m.filter } == {
      "plaudit/calls"                  = local.call_logs
      "plaudit/calls_failed"           = "${local.call_logs} AND (httpRequest.status>=500 OR httpRequest.status=429)"
      "plaudit/drains"                 = "${local.request_logs} AND httpRequest.requestUrl=~\"/internal/drain$\" AND httpRequest.status=200"
      "plaudit/deliveries"             = "${local.program_logs} AND jsonPayload.delivery:* AND jsonPayload.verdict=(\"recorded\" OR \"duplicate\" OR \"ignored\" OR \"retracted\")"
      "plaudit/failed_signatures"      = "${local.request_logs} AND httpRequest.status=401 AND httpRequest.requestUrl=~\"/webhooks/\""
      "plaudit/errors"                 = "${local.program_logs} AND severity>=ERROR"
      "plaudit/recognitions_made"      = "${local.program_logs} AND jsonPayload.recognition:* AND jsonPayload.message=~\"^recognition .+ made$\""
      "plaudit/recognitions_published" = "${local.program_logs} AND jsonPayload.recognition:* AND jsonPayload.message=~\"^recognition .+ published$\""
    }
    error_message = "The lines that are counted."
  }

  # No label has a value that a stranger chooses: each value is a time series that is paid for.
  assert {
    condition = { for k, m in google_logging_metric.counters : k => m.label_extractors if length(m.label_extractors) > 0 } == {
      deliveries             = tomap({ host = "EXTRACT(jsonPayload.host)", verdict = "EXTRACT(jsonPayload.verdict)", reason = "EXTRACT(jsonPayload.reason)" })
      failed_signatures      = tomap({ host = "REGEXP_EXTRACT(httpRequest.requestUrl, \"/webhooks/([a-z]+)\")" })
      recognitions_published = tomap({ destination = "EXTRACT(jsonPayload.destination)" })
    }
    error_message = "Labels are fixed words of the program."
  }

  assert {
    condition = alltrue([
      for k, m in google_logging_metric.counters :
      m.metric_descriptor[0].metric_kind == "DELTA" && m.metric_descriptor[0].value_type == "INT64" &&
      join(" ", sort([for l in m.metric_descriptor[0].labels : l.key])) == join(" ", sort(keys(m.label_extractors))) && coalesce(m.disabled, false) == false
    ])
    error_message = "A counter counts, and declares its labels."
  }

  assert {
    condition = { for k, m in google_logging_metric.distributions : m.name => [m.filter, m.value_extractor, m.metric_descriptor[0].metric_kind, m.metric_descriptor[0].value_type, m.metric_descriptor[0].unit, coalesce(m.disabled, false)] } == {
      "plaudit/request_seconds"       = ["${local.call_logs} AND httpRequest.latency:*", "EXTRACT(httpRequest.latency)", "DELTA", "DISTRIBUTION", "s", false]
      "plaudit/outbox_oldest_seconds" = ["${local.program_logs} AND jsonPayload.outbox_oldest_seconds>=0", "EXTRACT(jsonPayload.outbox_oldest_seconds)", "DELTA", "DISTRIBUTION", "s", false]
      "plaudit/outbox_waiting"        = ["${local.program_logs} AND jsonPayload.outbox_waiting>=0", "EXTRACT(jsonPayload.outbox_waiting)", "DELTA", "DISTRIBUTION", "1", false]
    }
    error_message = "The numbers that are read."
  }

  assert {
    condition = { for k, s in local.series : k => replace(s, local.on_service, "SERVICE") } == merge(
      { for k in concat(keys(google_logging_metric.counters), keys(google_logging_metric.distributions)) : k => "SERVICE AND metric.type = \"logging.googleapis.com/user/plaudit/${k}\"" },
      {
        requests     = "SERVICE AND metric.type = \"run.googleapis.com/request_count\""
        instances    = "SERVICE AND metric.type = \"run.googleapis.com/container/instance_count\""
        active       = "SERVICE AND metric.type = \"run.googleapis.com/container/instance_count\" AND metric.labels.state = \"active\""
        cpu          = "SERVICE AND metric.type = \"run.googleapis.com/container/cpu/utilizations\""
        memory       = "SERVICE AND metric.type = \"run.googleapis.com/container/memory/utilizations\""
        dead_letters = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"plaudit-dead-letters\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
        uptime       = "resource.type = \"uptime_url\" AND metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id = \"plaudit-outside-xyz\""
      },
    )
    error_message = "The time series behind each name."
  }

  assert {
    condition     = google_pubsub_subscription.dead_letters[0].name == "plaudit-dead-letters" && local.on_service == "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"plaudit\""
    error_message = "The series name this subscription and this service."
  }
}

run "what_rings" {
  command = plan

  assert {
    condition = { for k, p in google_monitoring_alert_policy.thresholds : k => [
      p.conditions[0].condition_threshold[0].filter == local.series[{ latency_p99 = "request_seconds", outbox_age = "outbox_oldest_seconds", dead_letters = "dead_letters", instances_at_limit = "active", failed_signatures = "failed_signatures", uptime = "uptime" }[k]],
      p.conditions[0].condition_threshold[0].comparison,
      p.conditions[0].condition_threshold[0].threshold_value,
      p.conditions[0].condition_threshold[0].duration,
      p.conditions[0].condition_threshold[0].trigger[0].count,
      p.conditions[0].condition_threshold[0].aggregations[0].alignment_period,
      p.conditions[0].condition_threshold[0].aggregations[0].per_series_aligner,
      p.conditions[0].condition_threshold[0].aggregations[0].cross_series_reducer,
      ] } == {
      latency_p99        = [true, "COMPARISON_GT", 2, "600s", 1, "300s", "ALIGN_DELTA", "REDUCE_PERCENTILE_99"]
      outbox_age         = [true, "COMPARISON_GT", 600, "0s", 1, "300s", "ALIGN_DELTA", "REDUCE_PERCENTILE_99"]
      dead_letters       = [true, "COMPARISON_GT", 0, "0s", 1, "300s", "ALIGN_MAX", "REDUCE_MAX"]
      instances_at_limit = [true, "COMPARISON_GT", 9.5, "300s", 1, "60s", "ALIGN_MAX", "REDUCE_SUM"]
      failed_signatures  = [true, "COMPARISON_GT", 20, "0s", 1, "600s", "ALIGN_DELTA", "REDUCE_SUM"]
      uptime             = [true, "COMPARISON_GT", 1, "120s", 1, "1200s", "ALIGN_NEXT_OLDER", "REDUCE_COUNT_FALSE"]
    }
    error_message = "Each threshold is on its own series, above its limit, for its time."
  }

  assert {
    condition = { for k, p in google_monitoring_alert_policy.absences : k => [
      p.conditions[0].condition_absent[0].filter == local.series[{ no_deliveries = "deliveries", no_drain = "drains" }[k]],
      p.conditions[0].condition_absent[0].duration,
      p.conditions[0].condition_absent[0].trigger[0].count,
      p.conditions[0].condition_absent[0].aggregations[0].per_series_aligner,
      p.conditions[0].condition_absent[0].aggregations[0].cross_series_reducer,
      ] } == {
      no_deliveries = [true, "84600s", 1, "ALIGN_DELTA", "REDUCE_SUM"]
      no_drain      = [true, "900s", 1, "ALIGN_DELTA", "REDUCE_SUM"]
    }
    error_message = "Silence is noticed; 23.5 hours is the longest there is."
  }

  assert {
    condition = { for k, p in google_monitoring_alert_policy.burns : k => [for c in p.conditions : [
      c.condition_threshold[0].filter, c.condition_threshold[0].comparison, c.condition_threshold[0].threshold_value, c.condition_threshold[0].duration, c.condition_threshold[0].trigger[0].count
      ]] } == { for pair in setproduct(["availability", "latency"], ["fast", "slow"]) : join("_", pair) => [
      for window in(pair[1] == "fast" ? ["60m", "5m"] : ["360m", "30m"]) : [
        "select_slo_burn_rate(\"projects/123456789012/services/plaudit/serviceLevelObjectives/${pair[0]}\", \"${window}\")", "COMPARISON_GT", pair[1] == "fast" ? 14.4 : 6, "0s", 1
    ]] }
    error_message = "14.4 times over an hour and 5 minutes, 6 times over six hours and 30 minutes."
  }

  assert {
    condition = { for k, p in google_monitoring_alert_policy.lines : k => p.conditions[0].condition_matched_log[0].filter } == {
      drain_fails     = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"plaudit-drain\" AND severity>=ERROR"
      reconcile_fails = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"plaudit-reconcile\" AND severity>=ERROR"
      webhook_broken  = "${local.program_logs} AND jsonPayload.webhook_broken:*"
      deliveries_lost = "${local.program_logs} AND jsonPayload.deliveries_lost:*"
      no_instance     = "${local.request_logs} AND textPayload:\"no available instance\""
      panic           = "${local.program_logs} AND severity=CRITICAL AND jsonPayload.message=~\"^panic: \""
      fatal           = "${local.program_logs} AND severity=CRITICAL AND NOT jsonPayload.message=~\"^panic: \""
      out_of_memory   = "${local.service_logs} AND (textPayload:\"Consider increasing the memory limit\" OR textPayload:\"Out-of-memory event detected in container\")"
      exits           = "${local.service_logs} AND ((textPayload:\"Container called exit(\" AND NOT textPayload:\"Container called exit(0)\") OR textPayload=~\"^Container terminated on signal (4|6|7|8|11)[.]\")"
      failed_revision = "${local.service_logs} AND severity=ERROR AND protoPayload.response.kind=\"Revision\" AND protoPayload.status.message:\"Ready condition status changed to False\""
      secret_access   = "protoPayload.serviceName=\"secretmanager.googleapis.com\" AND protoPayload.methodName=~\"AccessSecretVersion$\" AND protoPayload.resourceName=~\"/secrets/(plaudit-api-tokens|plaudit-forget-key|plaudit-github-app-key|plaudit-github-secret|plaudit-github-token|plaudit-gitlab-secret|plaudit-gitlab-signing-token|plaudit-gitlab-token|plaudit-post-tokens|plaudit-read-tokens)/versions/\" AND NOT protoPayload.authenticationInfo.principalEmail=\"plaudit-service@acme-thanks.iam.gserviceaccount.com\""
    }
    error_message = "Each alert on lines matches its own."
  }

  assert {
    condition     = alltrue([for p in google_monitoring_alert_policy.lines : try(p.alert_strategy[0].notification_rate_limit[0].period, "") == "3600s"])
    error_message = "Cloud Monitoring refuses an alert on lines without a rate limit."
  }

  assert {
    condition = alltrue([
      for p in concat(values(google_monitoring_alert_policy.burns), values(google_monitoring_alert_policy.thresholds), values(google_monitoring_alert_policy.absences), values(google_monitoring_alert_policy.lines)) :
      p.enabled == null || p.enabled == true
    ])
    error_message = "Every alert is on."
  }

  assert {
    condition = { for k, p in merge(google_monitoring_alert_policy.burns, google_monitoring_alert_policy.thresholds, google_monitoring_alert_policy.absences, google_monitoring_alert_policy.lines) : k => p.severity } == {
      availability_fast = "CRITICAL", availability_slow = "WARNING", latency_fast = "CRITICAL", latency_slow = "WARNING",
      latency_p99       = "WARNING", outbox_age = "ERROR", dead_letters = "WARNING", instances_at_limit = "WARNING", failed_signatures = "WARNING", uptime = "CRITICAL",
      no_deliveries     = "WARNING", no_drain = "ERROR",
      reconcile_fails   = "WARNING", webhook_broken = "ERROR", deliveries_lost = "ERROR",
      drain_fails       = "ERROR", no_instance = "CRITICAL", panic = "ERROR", fatal = "CRITICAL", out_of_memory = "ERROR", exits = "ERROR", failed_revision = "CRITICAL", secret_access = "CRITICAL",
    }
    error_message = "What loses deliveries is CRITICAL."
  }

  assert {
    condition = (
      google_monitoring_slo.availability[0].request_based_sli[0].good_total_ratio[0].total_service_filter == local.series.calls &&
      google_monitoring_slo.availability[0].request_based_sli[0].good_total_ratio[0].bad_service_filter == local.series.calls_failed &&
      google_monitoring_slo.availability[0].request_based_sli[0].good_total_ratio[0].good_service_filter == null &&
      google_monitoring_slo.availability[0].goal == 0.999 && google_monitoring_slo.availability[0].rolling_period_days == 28
    )
    error_message = "Failed calls among all calls; health checks and drains would dilute them."
  }

  assert {
    condition = (
      google_monitoring_slo.latency[0].request_based_sli[0].distribution_cut[0].distribution_filter == local.series.request_seconds &&
      google_monitoring_slo.latency[0].request_based_sli[0].distribution_cut[0].range[0].min == 0 &&
      google_monitoring_slo.latency[0].request_based_sli[0].distribution_cut[0].range[0].max == 1 &&
      google_monitoring_slo.latency[0].goal == 0.99 && google_monitoring_slo.latency[0].rolling_period_days == 28
    )
    error_message = "Answered within a second."
  }

  assert {
    condition = (
      google_monitoring_uptime_check_config.outside[0].http_check[0].path == "/openapi.json" &&
      google_monitoring_uptime_check_config.outside[0].http_check[0].accepted_response_status_codes[0].status_value == 200 &&
      google_monitoring_uptime_check_config.outside[0].content_matchers[0].content == "\"openapi\"" &&
      google_monitoring_uptime_check_config.outside[0].content_matchers[0].matcher == "CONTAINS_STRING" &&
      google_monitoring_uptime_check_config.outside[0].period == "60s" && google_monitoring_uptime_check_config.outside[0].timeout == "10s"
    )
    error_message = "The program itself must answer, with its description."
  }

  assert {
    condition = (
      google_project_iam_audit_config.secrets[0].service == "secretmanager.googleapis.com" &&
      [for c in google_project_iam_audit_config.secrets[0].audit_log_config : c.log_type] == ["DATA_READ"] &&
      google_project_iam_audit_config.secrets[0].project == "acme-thanks"
    )
    error_message = "Google logs reads of secrets only when asked to."
  }
}

# Monitoring interpolates within a bucket, so a threshold inside one is a guess.
run "thresholds_are_borders_of_buckets" {
  command = plan

  variables {
    latency_seconds      = 3.5
    outbox_alert_seconds = 777
  }

  assert {
    condition = alltrue([
      contains(google_logging_metric.distributions["request_seconds"].bucket_options[0].explicit_buckets[0].bounds, 3.5),
      contains(google_logging_metric.distributions["request_seconds"].bucket_options[0].explicit_buckets[0].bounds, google_monitoring_alert_policy.thresholds["latency_p99"].conditions[0].condition_threshold[0].threshold_value),
      contains(google_logging_metric.distributions["outbox_oldest_seconds"].bucket_options[0].explicit_buckets[0].bounds, google_monitoring_alert_policy.thresholds["outbox_age"].conditions[0].condition_threshold[0].threshold_value),
      google_monitoring_slo.latency[0].request_based_sli[0].distribution_cut[0].range[0].max == 3.5,
    ])
    error_message = "Every threshold is a border."
  }

  assert {
    condition = alltrue(flatten([
      for m in google_logging_metric.distributions : [
        for i, bound in m.bucket_options[0].explicit_buckets[0].bounds : bound > (i == 0 ? 0 : m.bucket_options[0].explicit_buckets[0].bounds[max(i - 1, 0)])
      ]
    ]))
    error_message = "Google refuses borders that do not ascend."
  }
}
