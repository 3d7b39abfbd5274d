using System.Text.Json;
using Microsoft.IdentityModel.Tokens;

namespace EventVault.Node.Security;

/// <summary>
/// The keys that tokens are signed with. From a file they are read again when it has changed; from a URL when they are ten minutes old and somebody
/// who has shown a token is there, or when a token names a key that is not among them. While the URL does not answer the last keys count on; a set without
/// keys withdraws all. Safe for concurrent use.
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
    private readonly TimeProvider _clock;
    private readonly SemaphoreSlim _asking = new(1);
    private volatile JsonWebKeySet _fetched = new();
    private string? _names; // Of the keys that were read last, as NamesOf; whoever reads has it.
    private JsonWebKeySet? _read; // Those keys.
    private long _askedAt;
    private int _renewing;

    /// <param name="place">Path of a file, or an https URL (http for a loopback address).</param>
    /// <param name="onBad">Told when keys can't be read anew.</param>
    /// <param name="clock">Tells how old keys are.</param>
    /// <exception cref="ArgumentException">The URL is of another form, or the file holds no JWKS.</exception>
    /// <exception cref="IOException">The file can't be read.</exception>
    public TokenKeys(string place, Action<Exception> onBad, TimeProvider clock)
    {
        (_onBad, _clock) = (onBad, clock);
        if (!place.Contains("://", StringComparison.Ordinal))
        {
            _file = new FileValue<JsonWebKeySet>([place], () => Read(File.ReadAllText(place)), onBad);
            return;
        }

        _url = new Uri(place);
        if (_url.Scheme != Uri.UriSchemeHttps && !(_url.Scheme == Uri.UriSchemeHttp && _url.IsLoopback))
        {
            throw new ArgumentException($"{place} is no https URL: whoever sits between could give keys of his own.");
        }

        _askedAt = clock.GetTimestamp() - (long)(2 * AskEvery.TotalSeconds * clock.TimestampFrequency); // Long ago: they are due.
        _http = new HttpClient { Timeout = AnswersWithin, MaxResponseContentBufferSize = MostBytes };
    }

    /// <summary>The keys as they are known. Looking at them has old ones asked for beside it: whoever has a token is looked at every second.</summary>
    public JsonWebKeySet Current
    {
        get
        {
            if (_url is not null && Age > AskEvery && Interlocked.Exchange(ref _renewing, 1) == 0)
            {
                _ = RenewAsync();
            }

            return _file?.Current ?? _fetched;
        }
    }

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

    private TimeSpan Age => _clock.GetElapsedTime(Volatile.Read(ref _askedAt));

    private async Task RenewAsync()
    {
        await Task.Yield(); // Whoever looks has a call to answer.
        try
        {
            await AskAsync(AskEvery);
        }
        catch (ObjectDisposedException)
        {
            // The node has stopped meanwhile.
        }
        finally
        {
            Volatile.Write(ref _renewing, 0);
        }
    }

    private async Task AskAsync(TimeSpan ifOlderThan)
    {
        await _asking.WaitAsync();
        try
        {
            if (Age <= ifOlderThan)
            {
                return;
            }

            Volatile.Write(ref _askedAt, _clock.GetTimestamp());
            _fetched = Read(await _http!.GetStringAsync(_url));
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

    // The same keys stay the same object, in whatever order and form they are told: what was checked with them holds.
    private JsonWebKeySet Read(string json)
    {
        var set = Parse(json);
        var names = NamesOf(set);
        if (_read is null || names != _names)
        {
            (_read, _names) = (set, names);
        }

        return _read;
    }

    private static string NamesOf(JsonWebKeySet set) => string.Join('\n', set.Keys
        .Select(static k => string.Join(' ', k.Kty, k.Kid, k.Alg, k.Use, k.N, k.E, k.Crv, k.X, k.Y, k.K, string.Join(',', k.X5c ?? [])))
        .Distinct().Order(StringComparer.Ordinal));

    private static JsonWebKeySet Parse(string json)
    {
        try
        {
            using var text = JsonDocument.Parse(json);
            return text.RootElement.TryGetProperty("keys", out var keys) && keys.ValueKind == JsonValueKind.Array
                ? new JsonWebKeySet(json)
                : throw new ArgumentException("It is no JWKS: it has no list of keys.");
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException)
        {
            throw new ArgumentException($"It is no JWKS: {e.Message}", e);
        }
    }
}
