namespace EventVault.Peers;

/// <summary>An event as every peer gets it.</summary>
internal readonly record struct PeerEvent(Guid Id, string Type, ReadOnlyMemory<byte> Data);

/// <summary>Receives one event. The data is valid only during the call. Calls for one subscription never overlap.</summary>
internal delegate void EventSink(long position, ReadOnlySpan<byte> data);

/// <summary>The stream was not where the append expected it.</summary>
internal sealed class WrongVersionException(string message) : Exception(message);

/// <summary>
/// A client of one peer. What an append expects is opaque: begin with <see cref="NoStream"/> for a stream that does not exist and
/// pass on what the last append returned. An append completes when the server has acknowledged it.
/// </summary>
internal interface IEventLog : IAsyncDisposable
{
    long NoStream { get; }

    Task<long> AppendAsync(string stream, long expected, PeerEvent[] events);

    /// <summary>Reads a whole stream forwards; returns the number of events.</summary>
    Task<long> ReadStreamAsync(string stream, EventSink sink);

    /// <summary>Reads all events forwards from the first; returns their number.</summary>
    Task<long> ReadAllAsync(long most, EventSink sink);

    /// <summary>Follows all events on a connection of its own. Returns when nothing appended from then on would be missed.</summary>
    Task<IAsyncDisposable> SubscribeAsync(bool fromStart, EventSink sink);

    /// <summary>The quickest way to fill the log in the order given. Not measured.</summary>
    Task LoadAsync(IEnumerable<(string Stream, PeerEvent Event)> events);

    /// <summary>Bytes that the events take on disk now.</summary>
    Task<long> DiskBytesAsync();
}

/// <summary>The workloads.</summary>
internal enum Workload
{
    /// <summary>One appender, one event, wait.</summary>
    OneAppender,

    /// <summary>Many appenders, one event each.</summary>
    ManyAppenders,

    /// <summary>Many events in each append.</summary>
    ManyEvents,

    /// <summary>Streams of 100 events among many.</summary>
    ReadStream,

    /// <summary>Everything in order.</summary>
    ReadAll,

    /// <summary>Live events to subscribers, and their catching up.</summary>
    Subscribe,

    /// <summary>Start with data, and memory.</summary>
    Start,
}

/// <summary>A server as its experts would set it up, started and stopped here.</summary>
internal interface IPeer
{
    string Name { get; }

    /// <summary>One line for the report: how it is configured and what an acknowledgement means.</summary>
    string SetUp { get; }

    /// <summary>Whether an acknowledged append survives the loss of power.</summary>
    bool IsDurable { get; }

    /// <summary>The server's program, asked for its version in the report; null if it is ours.</summary>
    string? Program { get; }

    /// <summary>What is missing on this machine, or null if it can run.</summary>
    string? Missing { get; }

    /// <summary>Why a workload makes no sense here, or null if it does.</summary>
    string? Skips(Workload workload) => null;

    /// <summary>Process id of the running server; 0 if it is not running.</summary>
    int ProcessId { get; }

    /// <param name="fresh">With an empty folder; otherwise with what it has.</param>
    Task StartAsync(bool fresh);

    Task StopAsync(bool kill = false);

    /// <summary>Opens a client for about so many requests in flight; how many connections that takes is the peer's business.</summary>
    Task<IEventLog> ConnectAsync(int inFlight);
}
