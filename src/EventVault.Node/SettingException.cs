namespace EventVault.Node;

/// <summary>A setting is unknown, missing or out of its range.</summary>
/// <param name="setting">Its name, and where it was set.</param>
/// <param name="why">What is wrong, and what would be right.</param>
internal sealed class SettingException(string setting, string why) : Exception($"{setting}: {why}");
