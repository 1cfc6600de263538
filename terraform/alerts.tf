# Who is told what. Each alert carries what it means, how to see it and what to do, so that nobody has to know this file
# at three in the morning.
locals {
  # Burning the error budget: the usual two speeds. Each needs a long window (it is no blip) and a short one (it is not
  # over). Fast: 2 % of 28 days' budget in an hour. Slow: 5 % in six hours.
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
      Requests end in 5xx faster than the promise of ${var.availability_goal * 100} % in 28 days bears.

      A delivery that got a 5xx was **not** stored. GitHub does not send it again by itself: redeliver it once this is over.

      1. What fails? Logs Explorer: `${local.program_logs} AND severity>=WARNING AND httpRequest.status>=500`: `why` says what went wrong inside.
      2. 503 with Retry-After: the store does not answer or is full. See https://status.cloud.google.com for Firestore, and look for quota or permission errors in the same lines.
      3. 500 or 502 right after a deployment: go back to the last good revision: `gcloud run services update-traffic ${var.name} --region=${var.region} --to-revisions=REVISION=100`.
      4. 429 or "no available instance" in the request log: raise max_instances.
      5. Afterwards: in each GitHub hook, Recent Deliveries, redeliver what is red. Sending twice counts once.
    EOT
    latency      = <<-EOT
      Requests take longer than ${var.latency_seconds} s, faster than the promise of ${var.latency_goal * 100} % in 28 days bears. At 10 s GitHub gives up.

      1. Which ones? Logs Explorer: `${local.request_logs} AND httpRequest.latency>"${var.latency_seconds}s"`.
      2. All of them, in waves: instances are starting. Set min_instances to 1.
      3. Webhooks and posts only: Firestore commits are slow. Look at its latency in the console and at ABORTED or RESOURCE_EXHAUSTED in the program's lines: one contributor or one burst may be writing to the same document.
      4. CPU near 1 on the dashboard: lower concurrency or raise cpu.
    EOT
  }

  # Everything that is one threshold on one series.
  thresholds = {
    latency_p99 = {
      title     = "slow: the 99th percentile of answers is above 2 s"
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
      subject   = "${var.name} does not get its recognitions out"
      what_next = <<-EOT
        Recognitions are stored but cannot be published (or commented). Nothing is lost and no request fails; people are thanked late.

        1. Why? Logs Explorer: `${local.program_logs} AND jsonPayload.recognition:* AND severity>=WARNING`.
        2. PERMISSION_DENIED: the service account lost roles/pubsub.publisher on the topic. `terraform apply` puts it back.
        3. NOT_FOUND: the topic is gone. `terraform apply` makes it again.
        4. INVALID_ARGUMENT with message_schema = true: the schema at the topic is older than the program. Apply, or set it to false.
        5. Comments only: GitHub's token has expired or lost its rights, or its rate limit is reached. Add a new version, set it in secret_versions, apply.
        6. UNAVAILABLE: https://status.cloud.google.com. It goes out by itself afterwards, at most a minute later.
      EOT
    }
    dead_letters = {
      title     = "dead letters: a consumer gives messages back again and again"
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
        2. Mend that consumer. plaudit itself is not at fault, unless the message breaks its JSON Schema.
        3. Give them back: publish each again to the consumer's own topic or by hand, then `gcloud pubsub subscriptions pull … --auto-ack`. Consumers drop repeats by `ce-id`.
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

        1. Is it real? The dashboard's requests by code, and the deliveries by host. A burst of 401 is somebody guessing: see the alert on failed signatures.
        2. Open event streams hold a place each (concurrency ${var.concurrency} an instance): count them with `${local.request_logs} AND httpRequest.requestUrl=~"/v1/recognitions/stream"`.
        3. Raise max_instances and apply. Firestore takes a sudden rise badly above 500 writes a second: go up in steps.
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
        Requests to a webhook were unsigned or wrongly signed, and refused. Either a host uses another secret than we do, or somebody is trying.

        1. Who? Logs Explorer: `${local.request_logs} AND httpRequest.status=401 AND httpRequest.requestUrl=~"/webhooks/"`: look at remoteIp and userAgent (GitHub-Hookshot is GitHub).
        2. A host, since a rotation: both secrets, separated by a comma, must be in the version that runs. Add such a version, set it in secret_versions, apply; take the old one out when every hook has the new.
        3. GitLab switches a hook off for good after 40 failures: switch it on again in its settings.
        4. Only now and then, from GitLab: `${local.program_logs} AND jsonPayload.verdict="rejected"` says why; a clock may be more than 5 minutes off.
        5. Strangers: nothing to do. Each refusal is decided before the body is read.
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
        Uptime checks from more than one place in the world failed. Deliveries are being lost: GitHub does not send them again by itself.

        1. `curl -i "$(terraform output -raw url)/openapi.json"`
        2. 403: the grant to allUsers is gone (or an organisation's policy took it). `terraform apply`, or public_access = "invoker_iam_disabled".
        3. 503 or 404: is there a ready revision? `gcloud run revisions list --service=${var.name} --region=${var.region}`. A revision that does not start says why in one line: Logs Explorer: `${local.program_logs} AND severity>=ERROR`.
        4. Go back: `gcloud run services update-traffic ${var.name} --region=${var.region} --to-revisions=REVISION=100`.
        5. Afterwards, redeliver in each GitHub hook what is red (kept for 3 days). Sending twice counts once.
      EOT
    }
  }

  # Everything whose silence is the news.
  absences = {
    no_deliveries = {
      title    = "silence: no delivery for a day"
      severity = "WARNING"
      filter   = local.series.deliveries
      aligner  = "ALIGN_DELTA"
      # The longest that Cloud Monitoring takes: 23.5 hours.
      duration  = "84600s"
      subject   = "${var.name} has not heard from any host for a day"
      what_next = <<-EOT
        No verified delivery for a day, though there were some before. On a quiet weekend that may be right.

        1. In the host's webhook settings, Recent Deliveries: is it sending, and what does it get back?
        2. GitLab switches a hook off for good after 40 failures: switch it on again.
        3. 404 from /webhooks/…: the secret of that host is not in secret_versions.
        4. 401: see the alert on failed signatures.
        5. Deliveries arrive but this fires: the log's fields have changed; see the filters in metrics.tf. Or log is set below info.
      EOT
    }
    no_drain = {
      title     = "the drain stands still"
      severity  = "ERROR"
      filter    = local.series.outbox_waiting
      aligner   = "ALIGN_DELTA"
      duration  = "900s"
      subject   = "${var.name} has not been drained for 15 minutes"
      what_next = <<-EOT
        /internal/drain has not run for 15 minutes. What a crash left owed is recognised at that contributor's next contribution only, and what waits does not go out. The alert on the outbox's age is blind meanwhile.

        1. Does it run? `gcloud scheduler jobs describe ${var.name}-drain --location=${var.region} --project=${var.project_id}`: state must be ENABLED; look at its status.
        2. 401: the program refuses the token. PLAUDIT_DRAIN_AUDIENCE and PLAUDIT_DRAIN_EMAIL of the running revision must be those of the job. `terraform apply` makes them so.
        3. 5xx: the store does not answer; the program's lines say why.
        4. By hand: `curl -X POST -H "Authorization: Bearer $TOKEN" "$(terraform output -raw url)/internal/drain"` with one of PLAUDIT_API_TOKENS.
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
    subject   = "${var.name}: the ${each.value.slo} promise is being broken"
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
