using FASTER.core;

namespace EventVault.Benchmarks;

/// <summary>FasterLog on the same disk: the log that a .NET team would reach for (decision 0004).</summary>
internal static class FasterAnchor
{
    public static async Task<Measured> AppendAsync(string directory, int appenders, int payloadBytes, TimeSpan warmUp, TimeSpan length)
    {
        var folder = Path.Combine(directory, "faster");
        Directory.CreateDirectory(folder);
        try
        {
            using var device = Devices.CreateLogDevice(Path.Combine(folder, "log"), deleteOnClose: true);
            using var log = new FasterLog(new FasterLogSettings { LogDevice = device, LogChecksum = LogChecksumType.PerEntry });
            using var stop = new CancellationTokenSource();

            // One committer, as FasterLog's own samples do it: everything queued meanwhile shares the next flush.
            var committer = Task.Run(async () =>
            {
                while (!stop.IsCancellationRequested)
                {
                    await log.CommitAsync();
                }
            });
            var payload = new byte[payloadBytes];
            var measured = await Measure.WorkersAsync<long>(appenders, warmUp, length, _ => () => log.EnqueueAndWaitForCommitAsync(payload), static _ => { });
            await stop.CancelAsync();
            await committer;
            return measured;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
