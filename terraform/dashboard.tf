# What is zero or empty is left out, as Google leaves it out of its answer: otherwise each plan would show a change.
#
# One page with availability, latency, deliveries, recognitions and the outbox. Two charts in a row.
locals {
  charts = [
    { title = "Requests by code", unit = "1/s", filter = local.series.requests, aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["metric.labels.response_code_class"] },
    { title = "Latency: 99th percentile, without event streams", unit = "s", filter = local.series.request_seconds, aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_99", by = [] },
    { title = "Deliveries by verdict", unit = "1/min", filter = local.series.deliveries, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.labels.host", "metric.labels.verdict"] },
    { title = "Ignored deliveries by reason", unit = "1/min", filter = "${local.series.deliveries} AND metric.labels.verdict = \"ignored\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.labels.reason"] },
    { title = "Recognitions made", unit = "1/min", filter = local.series.recognitions_made, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = [] },
    { title = "Recognitions published by destination", unit = "1/min", filter = local.series.recognitions_published, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.labels.destination"] },
    { title = "Recognitions waiting", unit = "1", filter = local.series.outbox_waiting, aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_99", by = [] },
    { title = "Oldest waiting recognition", unit = "s", filter = local.series.outbox_oldest_seconds, aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_99", by = [] },
    { title = "Dead letters", unit = "1", filter = local.series.dead_letters, aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", by = [] },
    { title = "Failed signatures by host", unit = "1/min", filter = local.series.failed_signatures, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.labels.host"] },
    { title = "Errors in the program's log", unit = "1/min", filter = local.series.errors, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = [] },
    { title = "Instances by state (limit ${var.max_instances})", unit = "1", filter = local.series.instances, aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = ["metric.labels.state"] },
    { title = "CPU: 99th percentile", unit = "1", filter = local.series.cpu, aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_99", by = [] },
    { title = "Memory: 99th percentile", unit = "1", filter = local.series.memory, aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_99", by = [] },
  ]

  chart_tiles = [
    for i, chart in local.charts : merge(i % 2 == 0 ? {} : { xPos = 24 }, {
      yPos                                                        = 12 + floor(i / 2) * 16
      width                                                       = 24
      height                                                      = 16
      widget = {
        title = chart.title
        xyChart = {
          yAxis = { label = chart.unit, scale = "LINEAR" }
          dataSets = [{
            plotType = "LINE"
            timeSeriesQuery = {
              timeSeriesFilter = {
                filter = chart.filter
                aggregation = merge({
                  alignmentPeriod    = "60s"
                  perSeriesAligner   = chart.aligner
                  crossSeriesReducer = chart.reducer
                }, length(chart.by) == 0 ? {} : { groupByFields = chart.by })
              }
            }
          }]
        }
      }
    })
  ]

  # What is left of each error budget, as a number that turns red at zero.
  budget_tiles = [
    for i, slo in concat(google_monitoring_slo.availability, google_monitoring_slo.latency) : merge(i == 0 ? {} : { xPos = 24 }, {
      width                                                                                                              = 24
      height                                                                                                             = 12
      widget = {
        title = "Budget left: ${slo.slo_id}"
        scorecard = {
          timeSeriesQuery = {
            timeSeriesFilter = {
              filter      = "select_slo_budget_fraction(\"${slo.name}\")"
              aggregation = { alignmentPeriod = "300s", perSeriesAligner = "ALIGN_MEAN" }
            }
          }
          # Below 0, which is left out.
          thresholds = [{ color = "RED", direction = "BELOW" }]
        }
      }
    })
  ]
}

resource "google_monitoring_dashboard" "plaudit" {
  count = local.full ? 1 : 0

  dashboard_json = jsonencode({
    displayName  = var.name
    labels       = { for k, v in local.labels : k => "" }
    mosaicLayout = { columns = 48, tiles = concat(local.budget_tiles, local.chart_tiles) }
  })

  depends_on = [terraform_data.metrics_ready]
}
