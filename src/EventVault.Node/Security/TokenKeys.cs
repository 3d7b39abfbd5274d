using Microsoft.IdentityModel.Tokens;

namespace EventVault.Node.Security;

/// <summary>
/// The keys that tokens are signed with. From a file they are read again when it has changed; from a URL when they are ten minutes old, or when a
/// token names a key that is not among them. While the URL does not answer the last keys count on. Safe for concurrent use.
/// </summary>
internal sealed class TokenKeys : IDisposable
{
    /// <summary>More than any provider tells: some kilobytes are usual.</summary>
    private const int MostBytes = 1024 * 1024;

    /// <summary>A key that was withdrawn counts for so long at the most, as long as the URL answers.</summary>
    private static readonly TimeSpan AskEvery = TimeSpan.FromMinutes(10);

    /// <summary>Tokens with keys that nobody knows must not make the node ask without end.</summary>
    private static readonly TimeSpan AskAgainAfter = TimeSpan.FromSeconds(5);

    /// <summary>Calls wait for it when there are no keys yet.</summary>
    private static readonly TimeSpan AnswersWithin = TimeSpan.FromSeconds(5);

    private readonly FileValue<JsonWebKeySet>? _file;
    private readonly Uri? _url;
    private readonly HttpClient? _http;
    private readonly Action<Exception> _onBad;
    private readonly SemaphoreSlim _asking = new(1);
    private volatile JsonWebKeySet _fetched = new();
    private string? _text; // Of the keys that were fetched; whoever asks has it.
    private long _askedAt = Environment.TickCount64 - (long)(2 * AskEvery).TotalMilliseconds; // Long ago: they are due.

    /// <param name="place">Path of a file, or an https URL (http for a loopback address).</param>
    /// <param name="onBad">Told when keys can't be read anew.</param>
    /// <exception cref="ArgumentException">The URL is of another form, or the file holds no JWKS.</exception>
    /// <exception cref="IOException">The file can't be read.</exception>
    public TokenKeys(string place, Action<Exception> onBad)
    {
        _onBad = onBad;
        if (!place.Contains("://", StringComparison.Ordinal))
        {
            _file = new FileValue<JsonWebKeySet>([place], () => Parse(File.ReadAllText(place)), onBad);
            return;
        }

        _url = new Uri(place);
        if (_url.Scheme != Uri.UriSchemeHttps && !(_url.Scheme == Uri.UriSchemeHttp && _url.IsLoopback))
        {
            throw new ArgumentException($"{place} is no https URL: whoever sits between could give keys of his own.");
        }

        _http = new HttpClient { Timeout = AnswersWithin, MaxResponseContentBufferSize = MostBytes };
    }

    /// <summary>The keys as they are known.</summary>
    public JsonWebKeySet Current => _file?.Current ?? _fetched;

    /// <summary>The keys; asks for them if they are not known or old.</summary>
    public async ValueTask<JsonWebKeySet> GetAsync()
    {
        if (_url is not null && Age > AskEvery)
        {
            await AskAsync(AskEvery);
        }

        return Current;
    }

    /// <summary>Keys that are newer than those, if there may be any.</summary>
    public async ValueTask<JsonWebKeySet> GetNewerAsync(JsonWebKeySet known)
    {
        if (_url is not null && Current == known)
        {
            await AskAsync(AskAgainAfter);
        }

        return Current;
    }

    public void Dispose()
    {
        _http?.Dispose();
        _asking.Dispose();
    }

    private TimeSpan Age => TimeSpan.FromMilliseconds(Environment.TickCount64 - Volatile.Read(ref _askedAt));

    private async Task AskAsync(TimeSpan ifOlderThan)
    {
        await _asking.WaitAsync();
        try
        {
            if (Age <= ifOlderThan)
            {
                return;
            }

            Volatile.Write(ref _askedAt, Environment.TickCount64);
            var text = await _http!.GetStringAsync(_url);
            if (text != _text)
            {
                (_fetched, _text) = (Parse(text), text); // The same keys stay the same object: what was checked with them holds.
            }
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or ArgumentException)
        {
            _onBad(e);
        }
        finally
        {
            _asking.Release();
        }
    }

    private static JsonWebKeySet Parse(string json)
    {
        try
        {
            var set = new JsonWebKeySet(json);
            return set.Keys.Count > 0 ? set : throw new ArgumentException("There is no key in it.");
        }
        catch (Exception e) when (e is System.Text.Json.JsonException or FormatException or InvalidOperationException)
        {
            throw new ArgumentException($"It is no JWKS: {e.Message}", e);
        }
    }
}
