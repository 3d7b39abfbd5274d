using System.Text;
using Microsoft.Extensions.Logging;

namespace EventVault.Node.Tests;

public sealed class ConsoleLogsTests
{
    // The console has a queue and a thread that writes it. Once that is emptied and has ended, who logs writes himself: had it not, this line would be lost with the process.
    [Fact]
    public void The_end_of_logging_leaves_no_queue_in_which_a_last_line_could_stay()
    {
        using var written = new OfThisThread();
        var before = Console.Error;
        Console.SetError(written);
        try
        {
            var logs = ConsoleLogs.To(LogLevel.Information, json: false);
            var log = logs.CreateLogger("test");
            logs.Dispose();
            log.Log(LogLevel.Information, default, "the last line", null, static (text, _) => text);
        }
        finally
        {
            Console.SetError(before);
        }

        Assert.Contains("the last line", written.Text, StringComparison.Ordinal);
    }

    /// <summary>Keeps what the thread writes that has made it, and nothing else.</summary>
    private sealed class OfThisThread : TextWriter
    {
        private readonly int _thread = Environment.CurrentManagedThreadId;
        private readonly StringBuilder _text = new();

        public string Text => _text.ToString();

        public override Encoding Encoding => Encoding.UTF8;

        public override void Write(char value)
        {
            if (Environment.CurrentManagedThreadId == _thread)
            {
                _text.Append(value);
            }
        }
    }
}
