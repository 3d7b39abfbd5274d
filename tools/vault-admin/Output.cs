// Owns stdout. Everything that a command prints goes through its buffer, so that JSON output can't be mixed with
// anything else, and a reader that goes away (`| head`) ends the command instead of crashing it.
using System.Buffers;
using System.Text;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using Spectre.Console;

namespace EventVault.Admin;

/// <summary>What a command prints.</summary>
internal sealed class Output : IAsyncDisposable
{
    private const int FlushAtBytes = 64 << 10;
    private const int RedirectedWidth = 200;

    private readonly ArrayBufferWriter<byte> _buffer = new(2 * FlushAtBytes);
    private readonly Utf8JsonWriter _writer;
    private readonly Stream _stdout;
    private bool _closed;

    public Output(bool json)
    {
        Json = json;
        _writer = new Utf8JsonWriter(_buffer, JsonText.WriterOptions);
        _stdout = OpenStandardOutput();
    }

    /// <summary>Characters that a line of a table has room for.</summary>
    public static int Width => Console.IsOutputRedirected ? RedirectedWidth : Math.Max(40, AnsiConsole.Profile.Width);

    /// <summary>Whether stdout takes JSON and nothing else.</summary>
    public bool Json { get; }

    /// <summary>Writes one JSON value on a line of its own.</summary>
    /// <param name="write">Writes the value.</param>
    public void WriteJson(Action<Utf8JsonWriter> write)
    {
        write(_writer);
        EndJsonLine();
    }

    /// <summary>Writes one event as JSON on a line of its own.</summary>
    /// <param name="e">The event.</param>
    public void WriteEvent(Client.RecordedEvent e)
    {
        EventJson.Write(_writer, e);
        EndJsonLine();
    }

    /// <summary>Writes bytes as they are.</summary>
    /// <param name="bytes">The bytes.</param>
    /// <exception cref="OutputClosedException">Nobody reads it any more.</exception>
    public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        _buffer.Write(bytes.Span);
        return FlushIfFullAsync();
    }

    /// <summary>Writes a line for people; control characters that came with the data do no harm.</summary>
    /// <param name="text">The line.</param>
    public void WriteLine(string text)
    {
        foreach (var rune in text.EnumerateRunes())
        {
            var safe = Rune.IsControl(rune) ? Rune.ReplacementChar : rune;
            _buffer.Advance(safe.EncodeToUtf8(_buffer.GetSpan(4)));
        }

        _buffer.Write("\n"u8);
    }

    /// <summary>Shows something for people, such as a table.</summary>
    /// <param name="what">What to show.</param>
    public void Show(Spectre.Console.Rendering.IRenderable what)
    {
        using var text = new StringWriter();
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = Console.IsOutputRedirected ? AnsiSupport.No : AnsiSupport.Detect,
            ColorSystem = Console.IsOutputRedirected ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
            Interactive = InteractionSupport.No,
            Out = new AnsiConsoleOutput(text),
        });
        console.Profile.Width = Width;
        console.Write(what);
        _buffer.Write(Encoding.UTF8.GetBytes(text.ToString()));
    }

    /// <summary>Says something beside the results: on stderr.</summary>
    /// <param name="text">The line.</param>
    public static void Note(string text) => Console.Error.WriteLine(text);

    /// <summary>Writes out what has gathered, if that is worth a system call.</summary>
    /// <exception cref="OutputClosedException">Nobody reads it any more.</exception>
    public ValueTask FlushIfFullAsync() => _buffer.WrittenCount < FlushAtBytes ? ValueTask.CompletedTask : FlushAsync();

    /// <summary>Writes out what has gathered.</summary>
    /// <exception cref="OutputClosedException">Nobody reads it any more.</exception>
    public async ValueTask FlushAsync()
    {
        if (_closed || _buffer.WrittenCount == 0)
        {
            return;
        }

        try
        {
            await _stdout.WriteAsync(_buffer.WrittenMemory);
            await _stdout.FlushAsync();
        }
        catch (IOException e)
        {
            // A full disk behind a redirection fails in the same way, and must not pass for success.
            _closed = true;
            throw IsClosedPipe(e) ? new OutputClosedException(e) : new IOException($"Writing to stdout failed: {e.Message}", e);
        }
        finally
        {
            _buffer.ResetWrittenCount();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _writer.DisposeAsync();
        await _stdout.DisposeAsync();
    }

    private void EndJsonLine()
    {
        _writer.Flush();
        _writer.Reset();
        _buffer.Write("\n"u8);
    }

    // The console's own stream takes a closed pipe for success, so `tail | head` would never end. A regular file, however,
    // may be shared with stderr, and only the console's stream writes wherever the other has got to.
    private static Stream OpenStandardOutput()
    {
        try
        {
            var stream = new FileStream(new SafeFileHandle(1, ownsHandle: false), FileAccess.Write, bufferSize: 0);
            if (!stream.CanSeek)
            {
                return stream;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            // An unusual stdout, or none: the console's stream copes with all of them.
        }

        return Console.OpenStandardOutput();
    }

    private static bool IsClosedPipe(IOException e)
    {
        const int BrokenPipe = 32; // EPIPE
        return e.HResult == BrokenPipe || e.Message.Contains("Broken pipe", StringComparison.Ordinal);
    }
}

/// <summary>Nobody reads stdout any more.</summary>
/// <param name="inner">How that showed.</param>
internal sealed class OutputClosedException(Exception inner) : Exception("stdout was closed by its reader.", inner);
