// What .NET and the system say of the process. Names are those of .NET's own meter System.Runtime, as OpenTelemetry translates them for Prometheus; whoever
// exports by OTLP gets them from that meter.
using System.Diagnostics;
using System.Globalization;

namespace EventVault.Node.Metrics;

/// <summary>Metrics of the process.</summary>
internal static class ProcessMetrics
{
    private static readonly string[] Unlabelled = [];
    private static readonly string[] ByMode = ["cpu_mode"];
    private static readonly string[] ByGeneration = ["gc_heap_generation"];
    private static readonly string[] Generations = ["gen0", "gen1", "gen2"];
    private static readonly DateTime Started = Process.GetCurrentProcess().StartTime.ToUniversalTime();

    /// <summary>All of them.</summary>
    public static IEnumerable<Metric> All =>
    [
        new("process.start_time", MetricKind.Gauge, "s", "When the process began, in seconds since 1970", values => values.Add((Started - DateTime.UnixEpoch).TotalSeconds)),
        new("process.open_fds", MetricKind.Gauge, "{fd}", "Open file descriptors", static values => AddDescriptors(values)),
        new("process.max_fds", MetricKind.Gauge, "{fd}", "File descriptors that the process may have open", static values => AddLimit(values)),
        OfRuntime("dotnet.process.cpu.time", MetricKind.Counter, "s", "Processor time", ByMode, static values =>
        {
            values.Add(Environment.CpuUsage.UserTime.TotalSeconds, "user");
            values.Add(Environment.CpuUsage.PrivilegedTime.TotalSeconds, "system");
        }),
        OfRuntime("dotnet.process.memory.working_set", MetricKind.Gauge, "By", "Physical memory of the process", Unlabelled, static values => values.Add(Environment.WorkingSet)),
        OfRuntime("dotnet.gc.collections", MetricKind.Counter, "{collection}", "Garbage collections, by the oldest generation that they looked at", ByGeneration, static values =>
        {
            for (var i = 0; i < Generations.Length; i++)
            {
                // GC counts a collection for each generation that it looked at.
                var older = i + 1 < Generations.Length ? GC.CollectionCount(i + 1) : 0;
                values.Add(GC.CollectionCount(i) - older, Generations[i]);
            }
        }),
        OfRuntime("dotnet.gc.pause.time", MetricKind.Counter, "s", "Time in which garbage collections held up all threads", Unlabelled, static values => values.Add(GC.GetTotalPauseDuration().TotalSeconds)),
        OfRuntime("dotnet.gc.heap.total_allocated", MetricKind.Counter, "By", "Bytes allocated on the managed heap", Unlabelled, static values => values.Add(GC.GetTotalAllocatedBytes())),
        OfRuntime(
            "dotnet.gc.last_collection.memory.committed_size", MetricKind.Gauge, "By", "Memory that the garbage collector has committed, at the last collection", Unlabelled,
            static values => values.Add(GC.GetGCMemoryInfo().TotalCommittedBytes)),
        OfRuntime("dotnet.monitor.lock_contentions", MetricKind.Counter, "{contention}", "How often a thread had to wait for a lock", Unlabelled, static values => values.Add(Monitor.LockContentionCount)),
        OfRuntime("dotnet.thread_pool.threads", MetricKind.Gauge, "{thread}", "Threads of the thread pool", Unlabelled, static values => values.Add(ThreadPool.ThreadCount)),
        OfRuntime("dotnet.thread_pool.queue.length", MetricKind.Gauge, "{work_item}", "Work that waits for a thread of the pool", Unlabelled, static values => values.Add(ThreadPool.PendingWorkItemCount)),
        OfRuntime("dotnet.thread_pool.work_items", MetricKind.Counter, "{work_item}", "Work that the thread pool has done", Unlabelled, static values => values.Add(ThreadPool.CompletedWorkItemCount)),
    ];

    private static Metric OfRuntime(string name, MetricKind kind, string unit, string help, string[] labels, Action<MetricValues> read) =>
        new(name, kind, unit, help, read) { Labels = labels, IsOfRuntime = true };

    // Linux alone has these; elsewhere there is no value.
    private static void AddDescriptors(MetricValues values)
    {
        const string Own = "/proc/self/fd";
        if (Directory.Exists(Own))
        {
            values.Add(Directory.EnumerateFileSystemEntries(Own).Count());
        }
    }

    private static void AddLimit(MetricValues values)
    {
        const string Limits = "/proc/self/limits";
        const string OpenFiles = "Max open files";
        if (!File.Exists(Limits))
        {
            return;
        }

        var line = File.ReadLines(Limits).FirstOrDefault(l => l.StartsWith(OpenFiles, StringComparison.Ordinal));
        if (line is not null && long.TryParse(line[OpenFiles.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0], NumberStyles.None, CultureInfo.InvariantCulture, out var limit))
        {
            values.Add(limit);
        }
    }
}
