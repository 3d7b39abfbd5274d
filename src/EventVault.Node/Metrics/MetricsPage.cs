namespace EventVault.Node.Metrics;

/// <summary>Answers <c>/metrics</c>.</summary>
internal static class MetricsPage
{
    private const string Page = "/metrics";
    private const string OpenMetrics = "application/openmetrics-text";

    /// <summary>Serves metrics; all other paths go on.</summary>
    public static void Map(IApplicationBuilder app, IReadOnlyList<Metric> metrics) => app.Use(next => http => http.Request.Path.Value == Page ? AnswerAsync(http, metrics) : next(http));

    private static Task AnswerAsync(HttpContext http, IReadOnlyList<Metric> metrics)
    {
        if (!HttpMethods.IsGet(http.Request.Method) && !HttpMethods.IsHead(http.Request.Method))
        {
            http.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            http.Response.Headers.Allow = "GET, HEAD";
            return Task.CompletedTask;
        }

        var openMetrics = http.Request.Headers.Accept.ToString().Contains(OpenMetrics, StringComparison.OrdinalIgnoreCase);
        http.Response.ContentType = openMetrics ? PrometheusText.OpenMetricsContentType : PrometheusText.ContentType;
        return http.Response.WriteAsync(PrometheusText.Write(metrics, openMetrics));
    }
}
