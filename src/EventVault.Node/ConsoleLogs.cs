// Logs on stderr. Built by hand for lines, the usual form: the builder makes a container of services for it, which is a tenth of a node's start.
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace EventVault.Node;

/// <summary>What the program logs with.</summary>
internal static class ConsoleLogs
{
    private const string TimeFormat = "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";

    /// <summary>Everything from a level on; of the framework's, warnings at least.</summary>
    /// <param name="level">The level.</param>
    /// <param name="json">An object a line instead of a line.</param>
    public static ILoggerFactory To(LogLevel level, bool json)
    {
        var framework = level > LogLevel.Warning ? level : LogLevel.Warning;
        if (json)
        {
            return LoggerFactory.Create(logging => logging
                .SetMinimumLevel(level)
                .AddFilter("Microsoft", framework)
                .AddJsonConsole(console => (console.UseUtcTimestamp, console.TimestampFormat) = (true, TimeFormat))
                .AddConsole(ToStderr));
        }

        var console = new ConsoleLoggerOptions { FormatterName = LineFormatter.Name };
        ToStderr(console);
        var filter = new LoggerFilterOptions { MinLevel = level };
        filter.Rules.Add(new LoggerFilterRule(null, "Microsoft", framework, null));
        var logs = new LoggerFactory([], filter);

        // Added, so that it is disposed with the factory, which writes what still waits: the last line may say why the node ended.
        logs.AddProvider(new ConsoleLoggerProvider(new Fixed(console), [new LineFormatter()]));
        return logs;
    }

    // stdout belongs to the line that says the node is ready.
    private static void ToStderr(ConsoleLoggerOptions console) => console.LogToStandardErrorThreshold = LogLevel.Trace;

    private sealed class Fixed(ConsoleLoggerOptions options) : IOptionsMonitor<ConsoleLoggerOptions>
    {
        public ConsoleLoggerOptions CurrentValue => options;

        public ConsoleLoggerOptions Get(string? name) => options;

        public IDisposable? OnChange(Action<ConsoleLoggerOptions, string?> listener) => null;
    }

    // Time, level, category, number, message, exception, as the framework's own for single lines: what was sent by others must not begin a line.
    private sealed class LineFormatter() : ConsoleFormatter(Name)
    {
        public new const string Name = "line";

        public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
        {
            var message = logEntry.Formatter(logEntry.State, logEntry.Exception);
            var text = logEntry.Exception is { } error ? $"{message} {error}" : message;
            textWriter.Write(DateTime.UtcNow.ToString(TimeFormat, CultureInfo.InvariantCulture));
            textWriter.Write(LevelOf(logEntry.LogLevel));
            textWriter.Write(logEntry.Category);
            textWriter.Write('[');
            textWriter.Write(logEntry.EventId.Id.ToString(CultureInfo.InvariantCulture));
            textWriter.Write("] ");
            textWriter.Write(text.ReplaceLineEndings(" "));
            textWriter.Write('\n');
        }

        private static string LevelOf(LogLevel level) => level switch
        {
            LogLevel.Trace => " trce: ",
            LogLevel.Debug => " dbug: ",
            LogLevel.Information => " info: ",
            LogLevel.Warning => " warn: ",
            LogLevel.Error => " fail: ",
            _ => " crit: ",
        };
    }
}
