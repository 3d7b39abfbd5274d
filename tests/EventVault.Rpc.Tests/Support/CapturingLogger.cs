using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace EventVault.Rpc.Tests.Support;

/// <summary>Keeps warnings and errors of the host and the server under test.</summary>
public sealed class CapturingLogger : ILogger, ILoggerProvider
{
    public ConcurrentQueue<string> Problems { get; } = new();

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel))
        {
            Problems.Enqueue($"{logLevel}: {formatter(state, exception)} {exception}");
        }
    }

    public ILogger CreateLogger(string categoryName) => this;

    public void Dispose()
    {
    }
}
