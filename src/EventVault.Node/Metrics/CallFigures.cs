using System.Collections.Concurrent;
using EventVault.Rpc;
using EventVault.Rpc.Server;

namespace EventVault.Node.Metrics;

/// <summary>How long calls took, by method and status. For every thread.</summary>
internal sealed class CallFigures
{
    /// <summary>Calls that last as long as their client likes: how long says nothing.</summary>
    private static readonly string[] LongLived = ["/eventvault.v1.Streams/AppendSession", "/eventvault.v1.Streams/Subscribe", "/grpc.health.v1.Health/Watch"];

    // Only methods that are served get here, so there are some fifty of them, with a few statuses each.
    private readonly ConcurrentDictionary<(string Method, RpcCode Status), Distribution> _durations = new();

    /// <summary>A call has ended.</summary>
    /// <param name="context">The call.</param>
    /// <param name="status">What its client is told.</param>
    public void Ended(RpcContext context, RpcCode status)
    {
        if (!IsLongLived(context.Method))
        {
            Of(context.Method, status).Record(context.Elapsed.Ticks * 100); // Nanoseconds.
        }
    }

    /// <summary>Whether a call of a method lasts as long as its client likes.</summary>
    public static bool IsLongLived(string method) => LongLived.Contains(method);

    /// <summary>Adds all methods that were called, a distribution for each of their statuses.</summary>
    public void Read(MetricValues values)
    {
        foreach (var ((method, status), durations) in _durations.OrderBy(d => d.Key.Method, StringComparer.Ordinal).ThenBy(d => d.Key.Status))
        {
            values.Add(durations, 1e9, method[1..], MetricValues.LabelOf(status));
        }
    }

    private Distribution Of(string method, RpcCode status) => _durations.GetOrAdd((method, status), static _ => new Distribution(Distribution.DurationUnit));
}

/// <summary>What reads of one kind have handed out. For every thread.</summary>
internal sealed class ReadFigures
{
    private long _events;
    private long _bytes;

    /// <summary>Events so far.</summary>
    public long Events => Volatile.Read(ref _events);

    /// <summary>Bytes of their messages.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>A page was written.</summary>
    public void Add(long events, long bytes)
    {
        Interlocked.Add(ref _events, events);
        Interlocked.Add(ref _bytes, bytes);
    }
}
