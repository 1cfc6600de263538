# The alerts. The documentation of each says what it means, how to confirm it and what to do, so that the person
# on call does not need this file.
locals {
  # Burn rates of the error budget, at the usual two speeds. The long window leaves out short peaks, the short window ends
  # the alert soon after the failure. Fast: 2 % of 28 days' budget in an hour. Slow: 5 % in six hours.
  burns = {
    for pair in setproduct(["availability", "latency"], ["fast", "slow"]) : "${pair[0]}_${pair[1]}" => {
      slo     = pair[0]
      factor  = pair[1] == "fast" ? 14.4 : 6
      windows = pair[1] == "fast" ? ["60m", "5m"] : ["360m", "30m"]
      urgent  = pair[1] == "fast"
    }
  }

  slos = {
    availability = google_monitoring_slo.availability.name
    latency      = google_monitoring_slo.latency.name
  }

  burn_runbooks = {
    availability = <<-EOT
      More requests end in 5xx than the goal of ${var.availability_goal * 100} % in 28 days allows.

      A delivery that got a 5xx was **not** stored. GitHub does not send it again by itself: redeliver it once this is over.

      1. What fails? Logs Explorer: `${local.program_logs} AND severity>=WARNING AND httpRequest.status>=500`: the field `why` has the cause.
      2. 503 with Retry-After: the store does not answer or is full. See https://status.cloud.google.com for Firestore, and look for quota or permission errors in the same lines.
      3. 500 or 502 right after a deployment: go back to the last good revision: `gcloud run services update-traffic ${var.name} --region=${var.region} --to-revisions=REVISION=100`.
      4. 429 or "no available instance" in the request log: raise max_instances.
      5. Afterwards: in each GitHub hook, Recent Deliveries, redeliver the failed ones. A delivery that is sent twice counts once.
    EOT
    latency      = <<-EOT
      More requests take longer than ${var.latency_seconds} s than the goal of ${var.latency_goal * 100} % in 28 days allows. GitHub gives up after 10 s.

      1. Which ones? Logs Explorer: `${local.request_logs} AND httpRequest.latency>"${var.latency_seconds}s"`.
      2. All of them, in waves: instances are starting. Set min_instances to 1.
      3. Webhooks and posts only: Firestore commits are slow. Look at its latency in the console and at ABORTED or RESOURCE_EXHAUSTED in the program's lines: one contributor or one burst may be writing to the same document.
      4. CPU near 1 on the dashboard: lower concurrency or raise cpu.
    EOT
  }

  # Alerts with one threshold on one series.
  thresholds = {
    latency_p99 = {
      title     = "slow: the 99th percentile of latency is above 2 s"
      severity  = "WARNING"
      filter    = local.series.request_seconds
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_PERCENTILE_99"
      period    = "300s"
      above     = 2
      duration  = "600s"
      subject   = "${var.name} answers slowly"
      what_next = local.burn_runbooks.latency
    }
    outbox_age = {
      title     = "recognitions wait: the oldest for more than ${var.outbox_alert_seconds} s"
      severity  = "ERROR"
      filter    = local.series.outbox_oldest_seconds
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_PERCENTILE_99"
      period    = "300s"
      above     = var.outbox_alert_seconds
      duration  = "0s"
      subject   = "${var.name} cannot publish its recognitions"
      what_next = <<-EOT
        Recognitions are stored but cannot be published (or commented). Nothing is lost and no request fails; people are thanked late.

        1. Why? Logs Explorer: `${local.program_logs} AND jsonPayload.recognition:* AND severity>=WARNING`.
        2. PERMISSION_DENIED: the service account lost roles/pubsub.publisher on the topic. `terraform apply` puts it back.
        3. NOT_FOUND: the topic was deleted. `terraform apply` creates it again.
        4. INVALID_ARGUMENT with message_schema = true: the schema at the topic is older than the program. Apply, or set it to false.
        5. Comments only: GitHub's token has expired or lost its rights, or its rate limit is reached. Add a new version, set it in secret_versions, apply.
        6. UNAVAILABLE: https://status.cloud.google.com. When Pub/Sub is back, plaudit publishes within a minute.
      EOT
    }
    dead_letters = {
      title     = "dead letters: a consumer does not acknowledge messages"
      severity  = "WARNING"
      filter    = local.series.dead_letters
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_MAX"
      period    = "300s"
      above     = 0
      duration  = "0s"
      subject   = "${var.name} has dead letters"
      what_next = <<-EOT
        A consumer was given a recognition ten times and never acknowledged it. It waits in the dead-letter subscription for 7 days.

        1. Look without taking: `gcloud pubsub subscriptions pull ${var.name}-dead-letters --project=${var.project_id} --limit=10`. The attributes name the subscription it came from.
        2. Repair that consumer. The fault is in plaudit only if the message does not fit its JSON Schema.
        3. Deliver them again: publish each to the consumer's own topic or handle it by hand, then `gcloud pubsub subscriptions pull … --auto-ack`. Consumers drop repeats by `ce-id`.
      EOT
    }
    instances_at_limit = {
      title     = "at the limit: ${var.max_instances} instances are running"
      severity  = "WARNING"
      filter    = local.series.instances
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_SUM"
      period    = "60s"
      above     = var.max_instances - 0.5
      duration  = "300s"
      subject   = "${var.name} cannot grow any further"
      what_next = <<-EOT
        Cloud Run may start no more instances. The next burst is answered with 429 by Cloud Run itself, and those deliveries are not stored.

        1. Is the traffic genuine? See the dashboard's requests by code, and the deliveries by host. A burst of 401 is someone guessing: see the alert on failed signatures.
        2. Each open event stream takes a place (concurrency ${var.concurrency} an instance): count them with `${local.request_logs} AND httpRequest.requestUrl=~"/v1/recognitions/stream"`.
        3. Raise max_instances and apply. Raise it in steps: above 500 writes a second Firestore needs time to adapt.
      EOT
    }
    failed_signatures = {
      title     = "failed signatures: more than 20 in 10 minutes"
      severity  = "WARNING"
      filter    = local.series.failed_signatures
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      period    = "600s"
      above     = 20
      duration  = "0s"
      subject   = "${var.name} refuses deliveries for their signature"
      what_next = <<-EOT
        Requests to a webhook were unsigned or wrongly signed, and were refused. Either a host uses another secret than plaudit, or someone sends forged requests.

        1. Who? Logs Explorer: `${local.request_logs} AND httpRequest.status=401 AND httpRequest.requestUrl=~"/webhooks/"`: look at remoteIp and userAgent (GitHub-Hookshot is GitHub).
        2. A host, since its secret was replaced: the version that runs must have both secrets, separated by a comma. Add such a version, set it in secret_versions, apply; remove the old secret when every hook has the new one.
        3. GitLab disables a hook permanently after 40 failures: enable it again in its settings.
        4. Only sometimes, from GitLab: `${local.program_logs} AND jsonPayload.verdict="rejected"` says why; a clock may be more than 5 minutes off.
        5. Someone else: nothing to do. Each request is refused before its body is read.
      EOT
    }
    uptime = {
      title     = "down: not reached from outside"
      severity  = "CRITICAL"
      filter    = local.series.uptime
      aligner   = "ALIGN_NEXT_OLDER"
      reducer   = "REDUCE_COUNT_FALSE"
      period    = "1200s"
      above     = 1
      duration  = "120s"
      subject   = "${var.name} does not answer"
      what_next = <<-EOT
        Uptime checks from more than one region of the world failed. Deliveries fail meanwhile, and GitHub does not send them again by itself.

        1. `curl -i "$(terraform output -raw url)/openapi.json"`
        2. 403: the grant to allUsers was removed, perhaps by an organisation's policy. `terraform apply`, or public_access = "invoker_iam_disabled".
        3. 503 or 404: is there a ready revision? `gcloud run revisions list --service=${var.name} --region=${var.region}`. A revision that does not start logs the cause in one line: Logs Explorer: `${local.program_logs} AND severity>=ERROR`.
        4. Roll back: `gcloud run services update-traffic ${var.name} --region=${var.region} --to-revisions=REVISION=100`.
        5. Afterwards, redeliver the failed deliveries in each GitHub hook (kept for 3 days). A delivery that is sent twice counts once.
      EOT
    }
  }

  # Alerts on missing data.
  absences = {
    no_deliveries = {
      title    = "silence: no delivery for a day"
      severity = "WARNING"
      filter   = local.series.deliveries
      aligner  = "ALIGN_DELTA"
      # The longest duration that Cloud Monitoring accepts: 23.5 hours.
      duration  = "84600s"
      subject   = "${var.name} has received no delivery for a day"
      what_next = <<-EOT
        There was no verified delivery for a day, though there were some before. On a quiet weekend that can be normal.

        1. In the host's webhook settings, Recent Deliveries: does it send, and what is the answer?
        2. GitLab disables a hook permanently after 40 failures: enable it again.
        3. 404 from /webhooks/…: the secret of that host is not in secret_versions.
        4. 401: see the alert on failed signatures.
        5. Deliveries arrive but this alert fires: the log's fields have changed; see the filters in metrics.tf. Or the variable log hides lines of level info.
      EOT
    }
    no_drain = {
      title     = "the drain does not run"
      severity  = "ERROR"
      filter    = local.series.outbox_waiting
      aligner   = "ALIGN_DELTA"
      duration  = "900s"
      subject   = "${var.name} has not been drained for 15 minutes"
      what_next = <<-EOT
        /internal/drain has not run for 15 minutes. What a crash left owed is recognised only at the contributor's next contribution, and recognitions that wait are not published. The alert on the outbox's age gets no data meanwhile.

        1. Does it run? `gcloud scheduler jobs describe ${var.name}-drain --location=${var.region} --project=${var.project_id}`: state must be ENABLED; look at its status.
        2. 401: the program refuses the token. PLAUDIT_DRAIN_AUDIENCE and PLAUDIT_DRAIN_EMAIL of the running revision must be those of the job. `terraform apply` sets both.
        3. 5xx: the store does not answer; the program's lines say why.
        4. By hand: `curl -X POST -H "Authorization: Bearer $PLAUDIT_TOKEN" "$(terraform output -raw url)/internal/drain"` with one of PLAUDIT_API_TOKENS.
      EOT
    }
  }
}

resource "google_monitoring_alert_policy" "burns" {
  for_each = local.burns

  display_name          = "${var.name}: ${each.value.slo} budget burns ${each.value.urgent ? "fast" : "slowly"}"
  combiner              = "AND"
  severity              = each.value.urgent ? "CRITICAL" : "WARNING"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  dynamic "conditions" {
    for_each = each.value.windows
    content {
      display_name = "${each.value.factor} times too fast over ${conditions.value}"

      condition_threshold {
        filter          = "select_slo_burn_rate(\"${local.slos[each.value.slo]}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.factor
        duration        = "0s"

        trigger {
          count = 1
        }
      }
    }
  }

  documentation {
    subject   = "${var.name}: the ${each.value.slo} goal will be missed"
    mime_type = "text/markdown"
    content   = local.burn_runbooks[each.value.slo]
  }

  alert_strategy {
    auto_close = "3600s"
  }
}

resource "google_monitoring_alert_policy" "thresholds" {
  for_each = local.thresholds

  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = each.value.duration

      aggregations {
        alignment_period     = each.value.period
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
      }

      trigger {
        count = 1
      }
    }
  }

  documentation {
    subject   = each.value.subject
    mime_type = "text/markdown"
    content   = each.value.what_next
  }

  alert_strategy {
    auto_close = "3600s"
  }
}

resource "google_monitoring_alert_policy" "absences" {
  for_each = local.absences

  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.title

    condition_absent {
      filter   = each.value.filter
      duration = each.value.duration

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = "REDUCE_SUM"
      }

      trigger {
        count = 1
      }
    }
  }

  documentation {
    subject   = each.value.subject
    mime_type = "text/markdown"
    content   = each.value.what_next
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
